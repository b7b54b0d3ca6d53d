"""What users want called when a run enters a state: kept and checked, not called here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from headrace.callables import check_takes, is_coroutine_callable, name_of
from headrace.states import StateType

__all__ = ("HOOKS", "Hook", "HookFn", "Hooks")

HookFn: TypeAlias = Callable[[Any, Any, Any], Any]

# The options, each with what the hooks of it hear of.
HOOKS: Final[Mapping[str, str]] = {
    "on_running": "an attempt begins",
    "on_retry": "an attempt failed and another one will follow",
    "on_completion": "the run ends as Completed",
    "on_failure": "the run ends as Failed",
    "on_crashed": "the run ends as Crashed",
    "on_cancellation": "the run ends as Cancelled",
}

_AT_END: Final = {
    StateType.COMPLETED: "on_completion",
    StateType.FAILED: "on_failure",
    StateType.CRASHED: "on_crashed",
    StateType.CANCELLED: "on_cancellation",
}


@dataclass(slots=True, eq=False, repr=False)
class Hook:
    """One function of the user.

    Attributes:
        fn: Called as ``fn(task, task_run, state)``, or with a flow and its run.
        name: What messages call it.
        is_async: Whether it runs on the loop, and not in a thread.
    """

    fn: HookFn
    name: str
    is_async: bool


@dataclass(slots=True, eq=False, repr=False)
class Hooks:
    """All hooks of a task or flow, those of each option in the order they were given.

    Attributes:
        running: Called when an attempt begins.
        retry: Called when an attempt failed and another one will follow.
        ends: For the type of a final state, the hooks of that.
        has_async: Whether any of them runs on the loop.
        completion: Those of a run that completed.
        is_plain: Whether these run in threads, all of them.
        is_usual: Whether all of these run in the same place, and none is called before
            the end.
    """

    running: tuple[Hook, ...]
    retry: tuple[Hook, ...]
    ends: Mapping[StateType, tuple[Hook, ...]]
    has_async: bool
    completion: tuple[Hook, ...]
    is_plain: bool
    is_usual: bool

    def functions(self) -> list[HookFn]:
        """The functions of all of them."""
        some = (self.running, self.retry, *self.ends.values())
        return [hook.fn for hooks in some for hook in hooks]

    @classmethod
    def of(cls, name: str, noun: str, given: Mapping[str, object]) -> Hooks | None:
        """Check the hooks among the options of a task or flow; None if there are none.

        Args:
            name: What messages call the task or flow.
            noun: "task" or "flow".
            given: Options; those that are no hooks are passed over.

        Raises:
            TypeError: Something is no list of functions of three arguments.
        """
        made = {
            option: tuple(_hooks(name, noun, option, given.get(option)))
            for option in HOOKS
        }
        if not any(made.values()):
            return None
        ends = {kind: made[option] for kind, option in _AT_END.items() if made[option]}
        has_async = any(hook.is_async for hooks in made.values() for hook in hooks)
        completion = made["on_completion"]
        kinds = {hook.is_async for hook in completion}
        return cls(
            made["on_running"],
            made["on_retry"],
            ends,
            has_async,
            completion,
            is_plain=kinds == {False},
            is_usual=not made["on_running"] and len(kinds) < len({True, False}),
        )


def _hooks(name: str, noun: str, option: str, given: object) -> list[Hook]:
    if given is None:
        return []
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        shown = name_of(given) if callable(given) else repr(given)
        raise TypeError(
            f"{name}: {option} must be a list of functions, not {shown}. Write "
            f"{option}=[{shown if callable(given) else 'notify'}]."
        )
    return [_hook(name, noun, option, fn) for fn in cast("Iterable[object]", given)]


def _hook(name: str, noun: str, option: str, fn: object) -> Hook:
    if not callable(fn):
        raise TypeError(
            f"{name}: {option} holds {fn!r}, which cannot be called. Give functions "
            f"of ({noun}, {noun}_run, state)."
        )
    advice = f"Hooks are called as hook({noun}, {noun}_run, state), by position."
    check_takes(fn, 3, f"{name}: in {option}, the hook", advice)
    return Hook(fn, name_of(fn), is_coroutine_callable(fn))
