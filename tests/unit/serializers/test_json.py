from __future__ import annotations

import collections
import dataclasses
import enum
import ipaddress
import json
import math
import re
import subprocess
import sys
import threading
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, NamedTuple, Self, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from headrace.exceptions import SerializationError, StoredException
from headrace.serializers import (
    JSONSerializer,
    Serializer,
    is_same,
    json_object_decoder,
    json_object_encoder,
    resolve_serializer,
)
from headrace.serializers.kinds import KINDS_BY_NAME

HERE = __name__


class Person(BaseModel):
    name: str
    sizes: tuple[int, ...] = ()
    key: str = Field(default="k", alias="theKey")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)
    x: int = Field(default=1, alias="theX")


class Secretive(BaseModel):
    _hidden: int = PrivateAttr(default=1)


class Doubling(BaseModel):
    x: int

    def model_post_init(self, context: Any, /) -> None:
        self.x *= 2


@dataclasses.dataclass
class Point:
    x: float
    y: set[int]
    sum: int = dataclasses.field(default=0, init=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int
    y: int = dataclasses.field(default=0, init=False)


@dataclasses.dataclass
class Positive:
    x: int

    def __post_init__(self) -> None:
        self.x = abs(self.x)


class Pair(NamedTuple):
    left: object
    right: object


class Colour(enum.Enum):
    RED = "red"


class Flags(enum.Flag):
    A = 1
    B = 2


class Text(str):
    __slots__ = ()


class Plain:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__: Any = None


class NoEqual:
    def __eq__(self, other: object) -> bool:
        raise ValueError("never equal")

    __hash__: Any = None


class TwoArguments(Exception):
    def __init__(self, left: int, *, right: int) -> None:
        super().__init__(f"{left} and {right}")
        self.left = left
        self.right = right


class Prefixed(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(f"prefix {text}")


class WithLock(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class NoText(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Unmakable(Exception):
    def __new__(cls, *args: object, made: bool = False) -> Self:
        if not made:
            raise TypeError("made only here")
        return super().__new__(cls)

    def __init__(self, *, made: bool) -> None:
        super().__init__("a", "b")


def encode_plain(obj: object) -> object:
    if isinstance(obj, Plain):
        return {"__class__": "plain", "parts": (1, 2)}
    raise TypeError(f"no form for {obj!r}")


def decode_plain(result: dict[str, Any]) -> object:
    return Plain() if result.get("__class__") == "plain" else result


def stored(value: object, serializer: Serializer | None = None) -> Any:
    serializer = serializer or JSONSerializer()
    return serializer.loads(serializer.dumps(value))


# -- What comes back ------------------------------------------------------------------

MOMENT = datetime(2026, 10, 25, 2, 30, 1, 5)  # noqa: DTZ001 - on purpose
VALUES = [
    None, True, 0, -1, 2**80, 10**400, 0.1, -0.0, math.inf, -math.inf, math.nan, "", "é\n\0",
    [], {}, [1, [2, {"a": None}]], (), (1, (2,)), {1: "a", (1, 2): {3: 4}}, {None: 1, True: 2},
    {"__class__": "x.y"}, {"__class__": "tuple", "data": [1]}, {"data": 1},
    {"a": {"__class__": {"__class__": 1}}},
    set(), {1, "a", (2,)}, frozenset({1}), b"", b"\xff\0", bytearray(b"ab"), 1 + 2j, complex("nan-0j"),
    uuid.UUID(int=7), MOMENT, MOMENT.replace(tzinfo=UTC), MOMENT.replace(fold=1),
    MOMENT.replace(tzinfo=timezone(timedelta(hours=5, minutes=30))),
    MOMENT.replace(tzinfo=ZoneInfo("Europe/Berlin")),
    MOMENT.replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    date(2026, 1, 31), time(1, 2, 3), timedelta(-1, 5, 7),
    Decimal("1.10"), Decimal("NaN"), Decimal("sNaN"), Fraction(1, 3),
    Path("a/b"), PurePosixPath("/x"), PureWindowsPath("C:\\x"),
    Colour.RED, Flags.A | Flags.B, Pair(1, (2,)), collections.OrderedDict(a=1),
    ipaddress.ip_address("10.0.0.1"), re.compile("a+"),
    Person(name="Ada", sizes=(1, 2)), Person(name="Ada", theKey="x"), Open.model_validate({"x": 2}), Open.model_validate({"theX": 3, "more": (1,)}),
    Secretive(), Point(1.5, {2}), Frozen(1), Positive(2),
    ValueError(), KeyError("a", "b"), KeyError(("a", 1)), OSError(2, "No such file", "x"),
    TwoArguments(1, right=2), Prefixed("x"), StoredException("a.B", "text"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), StopIteration(3), KeyboardInterrupt(),
    ExceptionGroup("two", [ValueError((1,)), KeyError("x")]),
]  # fmt: skip


# Not by repr: sets of texts have another order in each process.
NAMES: Final = [f"{index}-{type(value).__name__}" for index, value in enumerate(VALUES)]


@pytest.mark.parametrize("value", VALUES, ids=NAMES)
@pytest.mark.parametrize("name", ["json", "compressed/json"])
def test_a_value_comes_back_as_the_same(name: str, value: object) -> None:
    read = stored(value, resolve_serializer(name))

    assert is_same(value, read)
    assert type(read) is type(value)


@pytest.mark.parametrize("value", VALUES, ids=NAMES)
def test_the_standard_library_does_as_well(value: object) -> None:
    assert is_same(value, stored(value, JSONSerializer(jsonlib="json")))


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.uuids()
    | st.datetimes()
    | st.decimals()
)
KEYS = st.text(max_size=3) | st.integers() | st.sampled_from(["__class__", "data"])
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS, inner)
        | st.dictionaries(
            st.sampled_from(["__class__", "data", "state"]),
            inner | st.sampled_from(["tuple", "dict", "builtins:ValueError", "int"]),
        )
    ),
    max_leaves=15,
)


@given(NESTED)
def test_any_nested_value_comes_back_as_the_same(value: Any) -> None:
    try:
        blob = JSONSerializer().dumps(value)
    except SerializationError as error:
        assert "surrogates" in error.reason  # noqa: PT017 - most values have none
        return

    assert is_same(value, JSONSerializer().loads(blob))


def test_exceptions_keep_arguments_attributes_and_notes() -> None:
    error = TwoArguments(1, right=2)
    error.add_note("seen")

    read = stored(error)

    assert (read.left, read.right, str(read)) == (1, 2, "1 and 2")
    assert read.__notes__ == ["seen"]


def test_os_errors_keep_their_number() -> None:
    read = stored(OSError(2, "No such file", "x"))

    assert (type(read), read.errno, read.filename) == (FileNotFoundError, 2, "x")


def test_import_errors_keep_their_module() -> None:
    assert stored(ImportError("none", name="x", path="y")).name == "x"


def test_models_keep_which_fields_were_set() -> None:
    assert stored(Person(name="Ada")).model_fields_set == {"name"}


def test_the_names_of_types_are_the_same_for_every_python() -> None:
    assert sorted(KINDS_BY_NAME) == [
        "bytearray", "bytes", "complex", "datetime:date", "datetime:datetime",
        "datetime:time", "datetime:timedelta", "decimal:Decimal", "dict",
        "fractions:Fraction", "frozenset", "pathlib:PosixPath", "pathlib:PurePosixPath",
        "pathlib:PureWindowsPath", "pathlib:WindowsPath", "set", "tuple", "uuid:UUID",
    ]  # fmt: skip


def test_other_programs_can_read_it() -> None:
    blob = JSONSerializer().dumps({"a": [1, {"b": None}]})

    assert json.loads(blob) == {"a": [1, {"b": None}]}


# -- What stands for exceptions -------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "name", "text"),
    [
        (WithLock("x"), "WithLock", "x"),
        (NoText(threading.Lock()), "NoText", "<NoText instance at"),
        (Unmakable(made=True), "Unmakable", "('a', 'b')"),
    ],
)
def test_an_exception_that_cannot_be_stored_is_told_of(
    error: Exception, name: str, text: str
) -> None:
    read = stored({"error": error})["error"]

    assert type(read) is StoredException
    assert read.type_name.endswith(name)
    assert text in read.text or "NoText" in read.text


def test_an_exception_of_a_class_in_a_function_is_told_of() -> None:
    class Local(Exception):
        pass

    assert "Local" in stored(Local("x")).type_name


# -- What is refused ------------------------------------------------------------------


def looped() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    return loop


def local_model() -> object:
    class Local(BaseModel):
        pass

    return Local()


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (threading.Lock(), "", "no form for a _thread.lock"),
        ({"a": [1, threading.Lock()]}, "['a'][1]", "no form"),
        ((1, {2: threading.Lock()}), "[1]", "no form"),
        (Point(1, cast("Any", threading.Lock())), "['data']['y']", "no form"),
        (collections.defaultdict(list), "", "no form"),
        (Text("x"), "", "no form|not the same"),
        (looped(), "", "too deeply"),
        (["\ud800"], "", "surrogates"),
        (object(), "", "."),
        (Positive, "", "."),
        (local_model(), "", "inside a function"),
        (Doubling(x=1), "", "not the same value"),
    ],
)
def test_what_would_not_come_back_is_refused(
    value: object, path: str, reason: str
) -> None:
    with pytest.raises(SerializationError, match=reason) as caught:
        JSONSerializer().dumps(value)

    assert path in caught.value.path
    assert caught.value.serializer == "json"
    assert type(caught.value) is SerializationError


def test_a_dataclass_that_changes_its_fields_is_refused() -> None:
    value = Positive(1)
    value.x = -1

    with pytest.raises(SerializationError, match="not the same value"):
        JSONSerializer().dumps(value)


def test_a_private_attribute_that_would_be_lost_is_refused() -> None:
    value = Secretive()
    value._hidden = 2

    with pytest.raises(SerializationError, match="not the same value"):
        JSONSerializer().dumps(value)


def test_a_value_that_cannot_be_compared_is_not_the_same() -> None:
    serializer = JSONSerializer(object_encoder=f"{HERE}.encode_anything")

    with pytest.raises(SerializationError, match="not the same value"):
        serializer.dumps(NoEqual())


def encode_anything(obj: object) -> object:
    return 1


# -- What reading does not do ---------------------------------------------------------


def test_a_tag_of_the_user_is_imported_by_nobody() -> None:
    assert stored({"__class__": "no_such.thing"}) == {"__class__": "no_such.thing"}


def test_a_module_that_is_not_imported_stays_so() -> None:
    blob = b'{"__class__":"antigravity:Fly","data":[]}'

    with pytest.raises(
        ImportError, match=r"reading results imports nothing.*allow_imp"
    ):
        JSONSerializer().loads(blob)

    assert "antigravity" not in sys.modules


def test_a_module_that_is_allowed_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("stored_shapes").mkdir()
    tmp_path.joinpath("stored_shapes/all.py").write_text(
        "import enum\nclass Shape(enum.Enum):\n    ROUND = 'round'\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    blob = b'{"__class__":"stored_shapes.all:Shape","data":"round"}'

    read = JSONSerializer(allow_imports=("stored_shapes",)).loads(blob)

    assert read.name == "ROUND"
    sys.modules.pop("stored_shapes.all")
    with pytest.raises(ImportError):
        JSONSerializer(allow_imports=("stored",)).loads(blob)


@pytest.mark.parametrize(
    ("blob", "error"),
    [
        (b'{"__class__":"os:system","data":"true"}', ImportError),
        (b'{"__class__":"os:no.such","data":1}', ImportError),
        (b'{"__class__":"threading:Thread","data":1}', Exception),
        (b'{"__class__":"subprocess:Popen","data":["true"]}', Exception),
        (b'{"__class__":"bytes","data":"!"}', ValueError),
        (b'{"__class__":"uuid:UUID","data":"x"}', ValueError),
        (b"[" * 1000, ValueError),
        (b"", ValueError),
        (b"\xff", ValueError),
    ],
)
def test_data_that_nobody_of_us_wrote_are_an_error(
    blob: bytes, error: type[Exception]
) -> None:
    assert subprocess.Popen  # loaded, and yet not made

    with pytest.raises(error):
        JSONSerializer().loads(blob)


@pytest.mark.parametrize("blob", [b'{"__class__":1}', b'{"__class__":"x"}'])
def test_an_object_that_only_looks_like_ours_is_data(blob: bytes) -> None:
    assert JSONSerializer().loads(blob) == json.loads(blob)


# -- Libraries and functions of the user ----------------------------------------------


def test_arguments_go_to_the_library() -> None:
    serializer = JSONSerializer(dumps_kwargs={"indent": 2, "sort_keys": True})

    assert serializer.dumps({"b": 1, "a": 2}) == b'{\n  "a": 2,\n  "b": 1\n}'
    with pytest.raises(SerializationError, match="not the same"):
        JSONSerializer(loads_kwargs={"parse_float": Decimal}).dumps(0.5)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"dumps_kwargs": {"default": str}}, "Use object_encoder"),
        ({"loads_kwargs": {"object_hook": dict}}, "Use object_decoder"),
        ({"jsonlib": "no_such_module"}, "cannot be imported"),
        ({"jsonlib": "math"}, "has no function 'dumps'"),
        ({"object_encoder": "math.no_such"}, "cannot be imported"),
        ({"object_decoder": "math.pi"}, "is no function"),
    ],
)
def test_fields_are_checked_when_it_is_made(fields: Any, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        JSONSerializer(**fields)


def test_functions_of_the_user_stand_in_for_ours() -> None:
    serializer = JSONSerializer(
        jsonlib=None,
        object_encoder=f"{HERE}.encode_plain",
        object_decoder=f"{HERE}.decode_plain",
    )

    assert type(stored([Plain(), (1, 2)], serializer)[0]) is Plain
    assert stored([Plain(), (1, 2)], serializer)[1] == (1, 2)
    with pytest.raises(SerializationError, match="no form for"):
        serializer.dumps(uuid.UUID)


def test_without_functions_only_plain_data_are_stored() -> None:
    serializer = JSONSerializer(object_encoder=None, object_decoder=None)

    assert stored({"a": (1,)}, serializer) == {"a": (1,)}
    with pytest.raises(SerializationError, match="there is no object_encoder"):
        serializer.dumps(Colour.RED)


def test_our_functions_can_be_called_by_those_of_the_user() -> None:
    made = json_object_encoder(Person(name="Ada", sizes=(1,)))

    assert made["__class__"] == f"{HERE}:Person"
    assert json_object_decoder(made) == Person(name="Ada", sizes=(1,))
    assert json_object_decoder(json_object_encoder((1, 2))) == (1, 2)
    assert json_object_decoder({"a": 1}) == {"a": 1}
