"""How results become bytes and come back, as tasks with a serializer see it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import pickle
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from headrace import Runtime, task
from headrace.exceptions import (
    MissingResult,
    SerializationError,
    StoredException,
    UnknownSerializer,
    UntrustedResult,
)
from headrace.results import ResultStore
from headrace.serializers import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
)

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


def kept(value: Any, serializer: Any, folder: Path) -> Any:
    """A value as it is read again, having been stored by a task."""
    it = task(
        result_serializer=serializer,
        result_storage=folder,
        cache_result_in_memory=False,
    )(lambda: value)
    with Runtime():
        return it()


def bytes_of(folder: Path) -> bytes:
    (file,) = (each for each in folder.rglob("*") if each.is_file())
    return file.read_bytes()


# -- the contract ----------------------------------------------------------------------


class Reversed(Serializer):
    """Texts, backwards."""

    type: str = "reversed"
    mark: str = ""

    def dumps(self, obj: Any) -> bytes:
        return (self.mark + obj[::-1]).encode()

    def loads(self, blob: bytes) -> Any:
        return blob.decode().removeprefix(self.mark)[::-1]


@pytest.mark.rule("SER-01")
@pytest.mark.parametrize("serializer", ["reversed", Reversed(mark="!")], ids=str)
def test_a_serializer_of_the_users_is_found_by_its_type(
    serializer: Any, folder: Path
) -> None:
    assert kept("abc", serializer, folder) == "abc"
    assert b"cba" in bytes_of(folder)


@pytest.mark.rule("SER-01")
def test_a_serializer_refuses_fields_that_it_does_not_have() -> None:
    with pytest.raises(ValidationError, match="colour"):
        Reversed(colour="red")  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="Define both"):

        class Half(Serializer):
            type: str = "half"

            def dumps(self, obj: Any) -> bytes:
                return b""


@pytest.mark.rule("SER-02")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pickle", PickleSerializer),
        ("json", JSONSerializer),
        ("compressed", CompressedSerializer),
        ("compressed/pickle", CompressedPickleSerializer),
        ("compressed/json", CompressedJSONSerializer),
    ],
)
def test_there_are_five_to_choose_from_by_name(
    name: str, kind: type[Serializer], folder: Path
) -> None:
    assert type(Serializer(type=name)) is kind
    assert kept({"a": [1, None]}, name, folder) == {"a": [1, None]}


@pytest.mark.rule("SER-02")
def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UnknownSerializer, match=r"'yaml'.*'compressed/json'") as info:
        task(result_serializer="yaml", name="it")(lambda: 1)

    assert isinstance(info.value, LookupError)
    assert "result_serializer of 'it'" in info.value.__notes__[0]
    with pytest.raises(UnknownSerializer):
        Serializer(type="yaml")


# -- pickles ---------------------------------------------------------------------------


@pytest.mark.rule("SER-03")
def test_a_pickle_holds_what_pickle_alone_cannot(folder: Path) -> None:
    factor = 3

    triple = kept(lambda x: x * factor, "pickle", folder)

    assert triple(2) == 6


@pytest.mark.rule("SER-03")
def test_a_pickle_that_somebody_else_wrote_is_never_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = task(result_storage=folder, cache_result_in_memory=False)(lambda: [1])
    with Runtime():
        state = it.submit().wait()
        assert state is not None
        assert state.result() == [1]
    blob = bytes_of(folder)

    monkeypatch.setenv("HEADRACE_SIGNING_KEY", "0" * 64)
    with pytest.raises(UntrustedResult):
        ResultStore(folder).from_bytes(blob)


@pytest.mark.rule("SER-03")
@pytest.mark.parametrize(
    ("library", "said"),
    [("no_such_module", "no_such_module"), ("math", "dumps"), ("base64", "dumps")],
)
def test_a_library_for_pickles_is_checked_at_once(library: str, said: str) -> None:
    assert PickleSerializer(picklelib="pickle").loads(pickle.dumps(1)) == 1
    with pytest.raises(ValueError, match=said):
        PickleSerializer(picklelib=library)


# -- JSON ------------------------------------------------------------------------------


@pytest.mark.rule("SER-04")
def test_json_is_readable_for_others(folder: Path) -> None:
    kept({"name": "é", "rows": [1, 2.5, None]}, "json", folder)

    assert '{"name":"é","rows":[1,2.5,null]}'.encode() in bytes_of(folder)


def encode_set(obj: Any) -> Any:
    return {"of": sorted(obj)} if isinstance(obj, set) else {}


def decode_set(result: Any) -> Any:
    return set(result["of"]) if "of" in result else result


@pytest.mark.rule("SER-04")
def test_json_takes_libraries_arguments_and_functions_of_the_users(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "of_the_users", sys.modules[__name__])
    serializer = JSONSerializer(
        jsonlib="json",
        object_encoder="of_the_users.encode_set",
        object_decoder="of_the_users.decode_set",
        dumps_kwargs={"indent": 2},
        loads_kwargs={"strict": False},
    )

    assert kept({"a": {1, 2}}, serializer, folder) == {"a": {1, 2}}
    assert b'{\n  "a": {\n' in bytes_of(folder)


@pytest.mark.rule("SER-04")
@pytest.mark.parametrize(
    "fields",
    [
        {"dumps_kwargs": {"default": str}},
        {"loads_kwargs": {"object_hook": str}},
        {"jsonlib": "math"},
        {"jsonlib": "no_such_module"},
        {"object_encoder": "no_such_module.f"},
    ],
    ids=str,
)
def test_what_json_cannot_use_is_refused_at_once(fields: Any) -> None:
    with pytest.raises(ValidationError):
        JSONSerializer(**fields)


def test_json_without_functions_refuses_other_types() -> None:
    with pytest.raises(SerializationError):
        JSONSerializer(object_encoder=None).dumps({"a": object()})


class Person(BaseModel):
    name: str


@dataclasses.dataclass
class Point:
    x: int


VALUES = [
    uuid.UUID(int=1),
    dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC),
    dt.timedelta(days=1),
    Person(name="Ada"),
    Point(1),
    b"\xff",
    {1, "a"},
    Path("a/b"),
]


@pytest.mark.rule("SER-05")
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["json", "compressed/json"])
def test_json_keeps_values_of_many_types(name: str, value: Any, folder: Path) -> None:
    read = kept([value], name, folder)

    assert read == [value]
    assert type(read[0]) is type(value)


@pytest.mark.rule("SER-06")
@pytest.mark.parametrize(
    "value", [(1, (2,)), {1: "a", None: "b"}, {(1, 2): 3}], ids=repr
)
def test_json_keeps_tuples_and_keys_of_other_types(value: Any, folder: Path) -> None:
    assert kept(value, "json", folder) == value


@pytest.mark.rule("SER-06")
def test_json_refuses_what_would_come_back_as_another_value(folder: Path) -> None:
    class Text(str):
        __slots__ = ()

    with pytest.raises(SerializationError, match=r"\['a'\]"):
        kept({"a": Text("x")}, "json", folder)


class NeedsTwo(Exception):
    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left} and {right}")


def stored_failure(error: Exception, serializer: str, folder: Path) -> Any:
    def body() -> None:
        raise error

    it = task(result_serializer=serializer, result_storage=folder)(body)
    with Runtime():
        it(return_state=True)
    return ResultStore(folder, serializer).from_bytes(bytes_of(folder))


@pytest.mark.rule("SER-07")
@pytest.mark.parametrize("serializer", ["json", "pickle"])
@pytest.mark.parametrize(
    "error", [KeyError("a", "b"), OSError(2, "no", "x"), ValueError()], ids=repr
)
def test_exceptions_keep_their_arguments(
    serializer: str, error: Exception, folder: Path
) -> None:
    read = stored_failure(error, serializer, folder)

    assert type(read) is type(error)
    assert read.args == error.args


@pytest.mark.rule("SER-07")
def test_an_exception_that_cannot_be_made_again_has_a_stand_in(folder: Path) -> None:
    class Local(Exception):
        """Of no module."""

    read = stored_failure(Local("why"), "json", folder)

    assert type(read) is StoredException
    assert "why" in str(read)


@pytest.mark.rule("SER-08")
@pytest.mark.parametrize(
    "value",
    [
        {"__class__": "x.y"},
        {"__class__": "tuple", "data": [1]},
        {"a": {"__class__": {"__class__": 1}}},
    ],
    ids=repr,
)
def test_dicts_that_look_like_marks_of_classes_are_dicts(
    value: Any, folder: Path
) -> None:
    assert kept(value, "json", folder) == value


@pytest.mark.rule("SER-08")
def test_reading_json_imports_nothing() -> None:
    blob = json.dumps({"__class__": "antigravity.Thing", "data": 1}).encode()

    with pytest.raises(Exception, match="antigravity"):
        JSONSerializer().loads(blob)

    assert "antigravity" not in sys.modules


# -- compressed ------------------------------------------------------------------------


@pytest.mark.rule("SER-09")
@pytest.mark.parametrize("library", ["lzma", "bz2", "zlib", "gzip"])
@pytest.mark.parametrize("inner", ["json", "pickle", JSONSerializer()], ids=str)
def test_any_serializer_can_be_compressed_by_any_library(
    inner: Any, library: str, folder: Path
) -> None:
    serializer = CompressedSerializer(serializer=inner, compressionlib=library)

    assert kept(["a" * 10_000], serializer, folder) == ["a" * 10_000]
    assert len(bytes_of(folder)) < 1000


@pytest.mark.rule("SER-09")
def test_a_library_for_compressing_is_checked_at_once() -> None:
    with pytest.raises(ValidationError, match="decompress"):
        CompressedSerializer(compressionlib="math")


# -- what is read with another one -----------------------------------------------------


def test_a_result_is_read_by_the_serializer_that_wrote_it(folder: Path) -> None:
    writer = ResultStore(folder, "json")
    ref = writer.save("k", (1, 2))

    assert ResultStore(folder, "pickle").load(ref) == (1, 2)


def test_a_value_whose_class_is_gone_is_missing(folder: Path) -> None:
    ref = ResultStore(folder, "json").save("k", Point(1))
    file = folder / "k"
    other = ResultStore(folder, JSONSerializer(object_decoder=None))

    assert file.exists()
    with pytest.raises(MissingResult):
        other.load(dataclasses.replace(ref, key="gone"))
