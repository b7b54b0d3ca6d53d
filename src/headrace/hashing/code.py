"""Functions, methods and classes: by their code, not by where it stands.

Bytecode, constants and the names it uses; not line numbers, files, annotations or the
name of the function. What code looks up in its module is no part of it: what a value
there is may change from run to run, and a key has to be the same in each process.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable
from typing import Any, Final, cast

from headrace.hashing.shapes import (
    PRIMITIVES,
    Shape,
    attributes,
    class_of,
    module_name,
    type_name,
)

__all__ = ("CALLABLES", "class_shape", "closure_of", "known_code")

_HEAP_TYPE: Final = 1 << 9

# A memo: of each code object that is alive, by its id, its encoding. Such an object
# cannot change. Asking a code object for its own hash would look at all of it.
_KNOWN: Final[dict[int, tuple[weakref.ref[types.CodeType], bytes]]] = {}


def _code_shape(code: types.CodeType) -> Shape | bytes:
    """What a code object does; code objects in it are among its constants."""
    known = known_code(code)
    if known is not None:
        return known
    number = id(code)

    def keep(encoding: bytes) -> None:
        _KNOWN[number] = weakref.ref(code, lambda _: _KNOWN.pop(number, None)), encoding

    parts = [
        code.co_code,
        code.co_exceptiontable,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
    ]
    counts = (
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
    )
    return Shape(("code", *counts), parts, keep=keep)


def known_code(code: types.CodeType) -> bytes | None:
    """The encoding of a code object, if it was encoded before."""
    known = _KNOWN.get(id(code))
    return known[1] if known is not None and known[0]() is code else None


def closure_of(fn: types.FunctionType) -> dict[str, Any] | None:
    """The values of enclosing functions that a function uses, by name."""
    cells = fn.__closure__
    if not cells:
        return None
    return dict(zip(fn.__code__.co_freevars, map(_content, cells), strict=True))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _Empty


class _Empty:
    """Stands for the content of a cell that has none."""


def _function_shape(fn: types.FunctionType) -> Shape:
    """A function, as a value: in another module the same code may do something else."""
    parts: dict[str, Any] = {
        "__code__": fn.__code__,
        "__defaults__": fn.__defaults__,
        "__kwdefaults__": fn.__kwdefaults__,
        "__closure__": closure_of(fn),
    }
    return attributes(("function", module_name(fn)), parts)


def _builtin_shape(fn: types.BuiltinFunctionType) -> Shape:
    """A function or bound method of C, by its name."""
    owner: object = fn.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return Shape(("builtin", module_name(fn), fn.__qualname__), ())
    return Shape(("builtin", fn.__name__), (owner,))


def _method_shape(method: types.MethodType) -> Shape:
    """A bound method, by its function and what it is bound to."""
    return attributes(
        "method", {"__func__": method.__func__, "__self__": method.__self__}
    )


def _partial_shape(partial: functools.partial[Any]) -> Shape:
    """A function with some arguments, by all of these."""
    parts: dict[str, Any] = {
        "args": partial.args,
        "func": partial.func,
        "keywords": partial.keywords,
    }
    return attributes(("partial", type_name(type(partial))), parts)


def _descriptor_shape(descriptor: Any) -> Shape:
    """A method of a class of C, such as ``str.upper``, by its name."""
    return Shape(
        ("descriptor", type_name(descriptor.__objclass__), descriptor.__name__), ()
    )


def class_shape(cls: Any) -> Shape:
    """A class: its name, those of its bases, its annotations, functions, constants."""
    bases = [type_name(base) for base in type.__dict__["__bases__"].__get__(cls)]
    parts: dict[str, Any] = {}
    if cls.__flags__ & _HEAP_TYPE:  # others are of C, and have no code to see
        held = type.__dict__["__dict__"].__get__(cls)
        for name, value in held.items():
            function = _function_in(value)
            if function is not None:
                parts[name] = function
            elif id(class_of(value)) in PRIMITIVES and not name.startswith("__"):
                parts[name] = value
        parts["__annotations__"] = _told(held.get("__annotations__"))
        members = held.get("_member_map_")
        if isinstance(members, dict):  # of an enum
            named = cast("dict[str, Any]", members)
            parts["_member_map_"] = {name: named[name]._value_ for name in named}
    return attributes(("class", type_name(cls), *bases), parts)


def _function_in(value: Any) -> Any:
    """What a function, static or class method or property of a class calls."""
    if isinstance(value, types.FunctionType):
        return value
    if isinstance(value, staticmethod | classmethod):
        function: Any = cast("Any", value).__func__
        return function
    if isinstance(value, property):
        return (value.fget, value.fset)
    return None


def _told(annotations: Any) -> dict[str, str]:
    """Annotations by the names of their types, if they have any."""
    if not isinstance(annotations, dict):
        return {}
    return {
        name: hint if isinstance(hint, str) else getattr(hint, "__qualname__", "")
        for name, hint in cast("dict[str, Any]", annotations).items()
    }


def _wrapper_shape(wrapper: Any) -> Shape:
    """A wrapper of C around a function, such as of ``functools.lru_cache``."""
    return Shape(("wrapper", type_name(type(wrapper))), (wrapper.__wrapped__,))


def _method_object_shape(method: Any) -> Shape:
    """A static or class method, looked up past its class."""
    return Shape(("method object", type_name(type(method))), (method.__func__,))


CALLABLES: Final[dict[Any, Callable[[Any], Shape | bytes]]] = {
    types.CodeType: _code_shape,
    types.FunctionType: _function_shape,
    types.BuiltinFunctionType: _builtin_shape,
    types.MethodType: _method_shape,
    types.MethodDescriptorType: _descriptor_shape,
    types.ClassMethodDescriptorType: _descriptor_shape,
    types.WrapperDescriptorType: _descriptor_shape,
    functools.partial: _partial_shape,
    functools._lru_cache_wrapper: _wrapper_shape,  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    staticmethod: _method_object_shape,
    classmethod: _method_object_shape,
    type: class_shape,
}
