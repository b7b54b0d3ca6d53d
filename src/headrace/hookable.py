"""Hooks that are added to a task or flow with a decorator: ``@my_task.on_failure``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from headrace.definitions import Definition
from headrace.hooks import HOOKS, HookFn

__all__ = ("Hookable",)

F = TypeVar("F", bound=Callable[..., Any])


class Hookable(Definition):
    """A task or flow, whose hooks can be read, assigned, and added to one by one."""

    _hook_options: ClassVar[frozenset[str]] = frozenset(HOOKS)

    def on_running(self, fn: F) -> F:
        """Have ``fn(task, run, state)`` called whenever an attempt begins.

        Returns:
            The function, so that this can be its decorator. The same below.

        Raises:
            TypeError: It cannot be called with three arguments.
        """
        return self._with_hook("on_running", fn)

    def on_retry(self, fn: F) -> F:
        """The same, when an attempt failed and another one will follow."""
        return self._with_hook("on_retry", fn)

    def on_completion(self, fn: F) -> F:
        """The same, when a run ends as Completed."""
        return self._with_hook("on_completion", fn)

    def on_failure(self, fn: F) -> F:
        """The same, when a run ends as Failed."""
        return self._with_hook("on_failure", fn)

    def on_crashed(self, fn: F) -> F:
        """The same, when a run ends as Crashed."""
        return self._with_hook("on_crashed", fn)

    def on_cancellation(self, fn: F) -> F:
        """The same, when a run ends as Cancelled."""
        return self._with_hook("on_cancellation", fn)

    @property
    def hooks(self) -> dict[str, list[HookFn]]:
        """A copy of what is called when: the name of each option, and its functions."""
        return {option: list(self._given.get(option) or ()) for option in HOOKS}

    def _with_hook(self, option: str, fn: F) -> F:
        self.redefine({option: [*self.hooks[option], fn]})
        return fn

    def __setattr__(self, name: str, value: Any) -> None:
        # The options of these names are methods here, and assigned all the same.
        if name in self._hook_options:
            self.redefine({name: value})
        else:
            super().__setattr__(name, value)
