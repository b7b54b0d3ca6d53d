from __future__ import annotations

import gc
import io
import pickle
import threading
from typing import Any

import pytest
from pydantic import ValidationError

from headrace.exceptions import SerializationError, UnknownSerializer
from headrace.serializers import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
    is_harmless,
    resolve_serializer,
    serializer_from_spec,
)

VALUE = {"rows": [1, 2.5, "three", None, True], "name": "é"}
OURS = {
    "pickle": PickleSerializer,
    "json": JSONSerializer,
    "compressed": CompressedSerializer,
    "compressed/pickle": CompressedPickleSerializer,
    "compressed/json": CompressedJSONSerializer,
}
# Called in ways that type checkers refuse.
Any_: Any = Serializer

EVERY_NAME = pytest.mark.parametrize("name", OURS)


class Reversing(Serializer):
    type: str = "reversing"
    suffix: str = ""

    def dumps(self, obj: Any) -> bytes:
        return f"{obj}{self.suffix}".encode()[::-1]

    def loads(self, blob: bytes) -> Any:
        return blob[::-1].decode()


# -- By name --------------------------------------------------------------------------


@EVERY_NAME
def test_a_serializer_is_found_by_its_name(name: str) -> None:
    assert type(resolve_serializer(name)) is OURS[name]
    assert type(Serializer(type=name)) is OURS[name]


@EVERY_NAME
def test_what_was_written_is_read(name: str) -> None:
    serializer = resolve_serializer(name)
    file = io.BytesIO()

    serializer.dump(VALUE, file)
    file.seek(0)

    assert serializer.loads(serializer.dumps(VALUE)) == VALUE
    assert serializer.load(file) == VALUE


@EVERY_NAME
def test_files_hold_what_texts_would(name: str) -> None:
    serializer = resolve_serializer(name)
    file = io.BytesIO()

    serializer.dump(VALUE, file)

    assert serializer.loads(file.getvalue()) == VALUE


@EVERY_NAME
def test_a_serializer_is_made_again_from_its_spec(name: str) -> None:
    serializer = resolve_serializer(name)

    assert serializer_from_spec(serializer.spec) == serializer


@EVERY_NAME
def test_a_serializer_can_be_pickled_and_copied(name: str) -> None:
    serializer = resolve_serializer(name)

    assert pickle.loads(pickle.dumps(serializer)) == serializer
    assert serializer.model_copy() == serializer


def test_an_instance_is_taken_as_it_is() -> None:
    serializer = JSONSerializer(jsonlib="json")

    assert resolve_serializer(serializer) is serializer


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownSerializer, match=r"'jsn'.*'compressed/json', .*'json'"):
        resolve_serializer("jsn")
    with pytest.raises(LookupError, match="'jsn'"):
        Serializer(type="jsn")


@pytest.mark.parametrize("value", [None, 3, PickleSerializer, {"type": "json"}])
def test_what_is_no_serializer_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"is no serializer\. Give one of"):
        resolve_serializer(value)


@EVERY_NAME
def test_unknown_fields_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="indent"):
        Any_(type=name, indent=2)


def test_the_type_of_a_class_is_its_own() -> None:
    with pytest.raises(ValidationError, match=r"of the type 'pickle', not 'json'"):
        PickleSerializer(type="json")
    assert PickleSerializer(type="pickle") == PickleSerializer()


def test_a_serializer_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PickleSerializer().picklelib = "pickle"


def test_the_contract_itself_does_nothing() -> None:
    with pytest.raises(ValidationError, match="type"):
        Any_()
    base = Serializer.model_construct(type="x")
    with pytest.raises(NotImplementedError):
        base.dumps(1)
    with pytest.raises(NotImplementedError):
        base.loads(b"")


# -- Of the user's own ----------------------------------------------------------------


def test_a_subclass_is_found_by_the_type_that_it_declares() -> None:
    serializer = resolve_serializer("reversing")

    assert type(serializer) is Reversing
    assert serializer.dumps("abc") == b"cba"


def test_fields_of_a_subclass_are_in_its_spec() -> None:
    serializer = Reversing(suffix="!")

    assert serializer.spec == '{"suffix":"!","type":"reversing"}'
    assert serializer_from_spec(serializer.spec) == serializer


def test_a_subclass_reads_and_writes_files_by_its_two_methods() -> None:
    file = io.BytesIO()

    Reversing().dump("abc", file)
    file.seek(0)

    assert Reversing().load(file) == "abc"


def test_bytes_of_a_subclass_may_run_code_unless_it_says_otherwise() -> None:
    assert Reversing().runs_code


def test_a_class_without_type_is_a_step_on_the_way() -> None:
    class Base(Serializer):
        def dumps(self, obj: Any) -> bytes:
            return b"x"

        def loads(self, blob: bytes) -> Any:
            return 1

    class Final(Base):
        type: str = "by-way-of-base"

    assert type(resolve_serializer("by-way-of-base")) is Final


def test_of_two_classes_with_one_type_the_later_one_counts() -> None:
    made = []
    for _ in range(2):

        class Again(Reversing):
            type: str = "again"

        made.append(Again)

    assert type(resolve_serializer("again")) is made[1]


@pytest.mark.parametrize("base", [Serializer, JSONSerializer])
def test_the_names_of_ours_cannot_be_taken(base: type[Serializer]) -> None:
    with pytest.raises(TypeError, match="has the type 'json', which is that of a"):

        class Taken(base):
            type: str = "json"

            def dumps(self, obj: Any) -> bytes:
                return b"x"

            def loads(self, blob: bytes) -> Any:
                return 1

    assert type(resolve_serializer("json")) is JSONSerializer


def test_a_class_that_lacks_a_method_is_refused_when_it_is_defined() -> None:
    with pytest.raises(TypeError, match=r"lacks a method\. Define both dumps"):

        class Half(Serializer):
            type: str = "half"

            def dumps(self, obj: Any) -> bytes:
                return b"x"

    with pytest.raises(UnknownSerializer):
        resolve_serializer("half")


def test_classes_are_not_kept_alive() -> None:
    class Passing(Reversing):
        type: str = "passing"

    del Passing
    gc.collect()

    with pytest.raises(UnknownSerializer):
        resolve_serializer("passing")


# -- Pickles --------------------------------------------------------------------------


def test_pickles_are_made_by_cloudpickle() -> None:
    serializer = PickleSerializer()

    assert serializer.loads(serializer.dumps(lambda x: x + 1))(1) == 2


def test_another_library_for_pickles_can_be_named() -> None:
    serializer = PickleSerializer(picklelib="pickle")

    assert serializer.loads(serializer.dumps(VALUE)) == VALUE
    with pytest.raises(SerializationError, match="lambda"):
        serializer.dumps(lambda: 1)


def test_a_library_that_cannot_stream_is_used_all_the_same() -> None:
    serializer = PickleSerializer(picklelib="marshal")
    file = io.BytesIO()

    serializer.dump(VALUE, file)
    file.seek(0)

    assert serializer.load(file) == VALUE


@pytest.mark.parametrize(
    ("picklelib", "text"),
    [
        ("no_such_module", "cannot be imported"),
        ("no.such", "cannot be imported"),
        ("", "cannot be imported"),
        ("math", "has no function 'dumps'"),
    ],
)
def test_a_library_is_checked_when_it_is_named(picklelib: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PickleSerializer(picklelib=picklelib)


class Holder:
    def __init__(self, held: object) -> None:
        self.held = held


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), ""),
        ([1, threading.Lock()], "[1]"),
        ({"a": (1, {"b": threading.Lock()})}, "['a'][1]['b']"),
        (Holder({"x": threading.Lock()}), ".held['x']"),
    ],
)
def test_what_cannot_be_pickled_is_named_with_its_place(
    value: object, path: str
) -> None:
    with pytest.raises(SerializationError) as caught:
        PickleSerializer().dumps(value)

    assert caught.value.path == path
    assert caught.value.type_name == "_thread.lock"
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_part_that_fails_only_in_its_whole_is_not_blamed_further() -> None:
    class Alone:
        def __reduce__(self) -> Any:
            raise ValueError("no pickle of me.")

    with pytest.raises(SerializationError, match=r"value\[0\].*no pickle of me\. "):
        PickleSerializer().dumps([Alone()])


# -- What may be followed, whoever wrote it -------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        JSONSerializer().spec,
        CompressedJSONSerializer().spec,
        CompressedSerializer(serializer=JSONSerializer(), compressionlib="lzma").spec,
    ],
)
def test_plain_json_is_harmless(spec: str) -> None:
    assert is_harmless(spec)


@pytest.mark.parametrize(
    "spec",
    [
        PickleSerializer().spec,
        CompressedPickleSerializer().spec,
        '{"type":"json","jsonlib":"evil"}',
        '{"type":"json","object_decoder":"os.system"}',
        '{"type":"json","allow_imports":["evil"]}',
        '{"type":"compressed","compressionlib":"evil","serializer":{"type":"json"}}',
        '{"type":"compressed","compressionlib":["zlib"],"serializer":{"type":"json"}}',
        '{"type":"compressed","compressionlib":"zlib"}',
        '{"type":"compressed","compressionlib":"zlib","serializer":"json"}',
        '{"type":"compressed","compressionlib":"zlib","serializer":{"type":"pickle"}}',
        '{"type":"reversing"}',
        "[]",
        "{",
        "[" * 100_000,
        "",
    ],
)
def test_all_else_is_not(spec: str) -> None:
    assert not is_harmless(spec)
