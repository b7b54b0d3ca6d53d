"""From any value to bytes: the same in each process, and others for another value.

Iterative, so that depth is no limit; parts that contain themselves are told by how far
up they stand; what is held in several places is looked into once.
"""

from __future__ import annotations

import hashlib
import marshal
from typing import Any, Final

from headrace.exceptions import HashError
from headrace.hashing.kinds import shape_of
from headrace.hashing.shapes import (
    AS_ATTRIBUTES,
    AS_ELEMENTS,
    AS_ITEMS,
    AS_PAIRS,
    PRIMITIVES,
    Shape,
    Unstable,
    are_primitive,
    class_of,
    type_name,
)

__all__ = ("MOST_PARTS", "digest", "encode")

# More would hold up the caller, which may be an event loop, for seconds. A list of
# primitives is one part.
MOST_PARTS: Final = 1_000_000

_VERSION: Final = 2
_MOST_BYTES: Final = 256

# Each begins nothing that `marshal` writes, and none another.
_WHOLE: Final = b"\x80"
_DIGEST: Final = b"\x81"
_ABOVE: Final = b"\x82"
_FLAT: Final = b"\x83"
_SIMPLE: Final = b"\x85"

_MOST_LEVELS: Final = 3
_MOST_SIMPLE: Final = 100
# For checkers, what these hold is unknown.
_LIST: Final[Any] = list
_TUPLE: Final[Any] = tuple
# Larger than 2 GB, or changed meanwhile by another thread.
_BY_ACCIDENT: Final = (ValueError, KeyError, RuntimeError)


def digest(encoding: bytes) -> str:
    """The 32 hexadecimal digits that stand for an encoding."""
    return hashlib.sha256(encoding).hexdigest()[:32]


def encode(value: Any, path: str) -> bytes:
    """What tells a value apart, of any length; no encoding begins another.

    Args:
        value: Anything.
        path: What an error calls the value, such as ``"args"``.

    Raises:
        HashError: A part of it has no encoding that holds in another process.
    """
    # Arguments are nearly always texts and numbers, in a few lists and dicts at the
    # most. In one piece they take a third of the time.
    try:
        simple = _simple(value, _MOST_LEVELS)
        return _shortened(_SIMPLE + marshal.dumps(simple, _VERSION))
    except (_NotSimpleError, *_BY_ACCIDENT):
        pass
    return _Walk(path).run(value)


class _NotSimpleError(Exception):
    """A value has parts that `marshal` does not tell apart as a key has to."""


def _simple(value: Any, levels: int) -> Any:
    """The value as `marshal` may have it: the same, but for the order in dicts.

    Whether there is one depends on the value alone, and so does its encoding.
    """
    cls = class_of(value)
    if id(cls) in PRIMITIVES:
        return value
    if levels and cls is dict:
        given: dict[Any, Any] = value
        if len(given) <= _MOST_SIMPLE:
            return _simple_dict(given, levels - 1)
    elif cls is _LIST or cls is _TUPLE:
        if are_primitive(value):
            return value
        if levels and len(value) <= _MOST_SIMPLE:
            return cls([_simple(each, levels - 1) for each in value])
    raise _NotSimpleError


def _simple_dict(value: dict[Any, Any], levels: int) -> dict[str, Any]:
    # As loops, which are twice as fast for the arguments of a call: few, and primitive.
    for name in value:
        if class_of(name) is not str:
            raise _NotSimpleError
    simple: dict[str, Any] = {}
    for name in sorted(value) if len(value) > 1 else value:
        part = value[name]
        is_primitive = id(class_of(part)) in PRIMITIVES
        simple[name] = part if is_primitive else _simple(part, levels)
    return simple


def _shortened(encoding: bytes) -> bytes:
    """The same if it is short; else its digest: what is large is copied once."""
    if len(encoding) <= _MOST_BYTES:
        return encoding
    return _DIGEST + hashlib.sha256(encoding).digest()


class _Open:
    """A value of which some parts have been encoded.

    Attributes:
        highest: The place in the stack of the uppermost value that it refers to.
    """

    __slots__ = ("highest", "parts", "shape", "value")

    def __init__(self, value: Any, shape: Shape, place: int) -> None:
        self.value = value
        self.shape = shape
        self.parts: list[bytes] = []
        self.highest = place

    def encoding(self) -> bytes:
        parts, form = self.parts, self.shape.form
        if form == AS_ELEMENTS:
            parts = sorted(parts)
        elif form == AS_PAIRS:
            # Keys first. Two may be the same: of NaN there can be several.
            both = sorted(zip(parts[::2], parts[1::2], strict=True))
            parts = [part for pair in both for part in pair]
        elif form == AS_ATTRIBUTES:
            parts = [*map(_name, self.shape.names), *parts]
        tag = marshal.dumps((self.shape.tag, len(parts)), _VERSION)
        return _shortened(_WHOLE + tag + b"".join(parts))


def _name(name: str) -> bytes:
    return marshal.dumps(name, _VERSION)


class _Walk:
    """One value being encoded.

    Args:
        path: What an error calls the value.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stack: list[_Open] = []
        self._places: dict[int, int] = {}  # of open values, by id
        self._done: dict[int, bytes] = {}  # encodings, by id
        self._alive: list[Any] = []  # what was made on the way: an id must stay its own
        self._count = 0

    def run(self, root: Any) -> bytes:
        """The encoding of a value."""
        found = self._found(root)
        while found is None or self._stack:
            if found is not None:
                self._stack[-1].parts.append(found)
            found = self._step()
        return found

    def _step(self) -> bytes | None:
        """Go on with the innermost open value; gives an encoding that is complete."""
        top = self._stack[-1]
        children, parts = top.shape.children, top.parts
        # In a loop of its own for what most parts are.
        for i in range(len(parts), len(children)):
            child = children[i]
            if id(class_of(child)) not in PRIMITIVES:
                return self._found(child)
            parts.append(self._primitive(child))
        return self._close(top)

    def _primitive(self, value: Any) -> bytes:
        try:
            return _shortened(marshal.dumps(value, _VERSION))
        except ValueError:
            raise self._error(value, "it is larger than 2 GB") from None

    def _found(self, value: Any) -> bytes | None:
        """The encoding, if it is known at once; else the value is open now."""
        if id(class_of(value)) in PRIMITIVES:
            return self._primitive(value)
        done = self._done.get(id(value))
        if done is not None:
            return done
        place = self._places.get(id(value))
        if place is not None:
            top = self._stack[-1]
            top.highest = min(top.highest, place)
            return _ABOVE + marshal.dumps(len(self._stack) - place, _VERSION)
        return self._opened(value)

    def _opened(self, value: Any) -> bytes | None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise self._error(
                value, f"there are more than {MOST_PARTS} parts before it"
            )
        shape = value if class_of(value) is Shape else self._shape_of(value)
        if isinstance(shape, bytes):
            return _shortened(shape)
        if shape.form == AS_ITEMS and are_primitive(shape.children):
            return self._flat(value, shape)
        self._places[id(value)] = len(self._stack)
        self._alive.append(value)
        self._stack.append(_Open(value, shape, len(self._stack)))
        return None

    def _shape_of(self, value: Any) -> Shape | bytes:
        try:
            return shape_of(value)
        except Unstable as unstable:
            raise self._error(value, str(unstable)) from None
        except Exception as error:
            # Code of the user's class, or what Python says of an object that cannot
            # be pickled.
            reason = f"looking into it raised {type(error).__name__}: {error}"
            raise self._error(value, reason) from error

    def _flat(self, value: Any, shape: Shape) -> bytes:
        """Of a sequence of primitives, in a tenth of the time of one after the other."""
        try:
            content = [shape.tag, list(shape.children)]
            return _shortened(_FLAT + marshal.dumps(content, _VERSION))
        except ValueError:
            raise self._error(value, "it is larger than 2 GB") from None

    def _close(self, top: _Open) -> bytes:
        self._stack.pop()
        place = len(self._stack)
        del self._places[id(top.value)]
        encoding = top.encoding()
        if top.highest == place:
            self._done[id(top.value)] = encoding
            if top.shape.keep is not None:
                top.shape.keep(encoding)
        elif self._stack:
            # It means something else where it does not stand below that value.
            above = self._stack[-1]
            above.highest = min(above.highest, top.highest)
        return encoding

    def _error(self, value: Any, reason: str) -> HashError:
        path = self._path + "".join(
            each.shape.label(len(each.parts)) for each in self._stack
        )
        return HashError(path, type_name(class_of(value)), reason)
