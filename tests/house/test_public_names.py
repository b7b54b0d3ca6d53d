"""House rules for what each module offers."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections import deque
from collections.abc import MutableMapping, MutableSequence, MutableSet
from types import ModuleType
from typing import ParamSpec, TypeVar, TypeVarTuple

import headrace

MODULES = [headrace] + [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(headrace.__path__, "headrace.")
    if not found.name.endswith("__main__")
]

# Module state that the design allows, as "module:NAME", each with its reason.
ALLOWED_STATE: frozenset[str] = frozenset()


def test_all_is_a_tuple_of_names_the_module_has() -> None:
    offered = {module: getattr(module, "__all__", ()) for module in MODULES}

    assert {type(names) for names in offered.values()} == {tuple}
    assert [m for m, names in offered.items() if len(names) != len(set(names))] == []
    assert [
        f"{module.__name__}:{name}"
        for module, names in offered.items()
        for name in names
        if not hasattr(module, name)
    ] == []


def test_every_public_definition_is_in_all() -> None:
    missing = [
        f"{module.__name__}:{name}"
        for module in MODULES
        for name, value in public_members(module)
        if getattr(value, "__module__", None) == module.__name__
        and not isinstance(value, TypeVar | TypeVarTuple | ParamSpec)
        and name not in getattr(module, "__all__", ())
    ]

    assert missing == []


def test_the_package_offers_what_it_imports_and_nothing_else() -> None:
    offered = {
        name
        for name, value in public_members(headrace)
        if not isinstance(value, ModuleType) and name != "annotations"
    }

    assert offered == {name for name in headrace.__all__ if not name.startswith("_")}


def test_a_module_holds_no_mutable_state() -> None:
    mutable = MutableMapping | MutableSequence | MutableSet | deque | bytearray
    found = [
        f"{module.__name__}:{name}"
        for module in MODULES
        for name in assigned(module) - final_names(module)
        # Not by getattr: what a module makes when asked is nobody's state.
        if isinstance(vars(module).get(name), mutable)
    ]

    # A table that stays as it is says so: `ALLOWED: Final[Mapping[...]]`.
    assert [name for name in found if name not in ALLOWED_STATE] == []


def public_members(module: ModuleType) -> list[tuple[str, object]]:
    return [(n, v) for n, v in vars(module).items() if not n.startswith("_")]


def final_names(module: ModuleType) -> set[str]:
    annotations = vars(module).get("__annotations__", {})
    return {name for name, told in annotations.items() if "Final" in str(told)}


def assigned(module: ModuleType) -> set[str]:
    """The names that a module gives values to itself, and does not import."""
    return {
        target.id
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
