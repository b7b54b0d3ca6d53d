"""What a task or flow was told to be: options that the engine reads, and no verbs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.hooks import Hooks
from headrace.limits import Limit
from headrace.middleware import Middleware
from headrace.parameters import Binder, ParameterNames
from headrace.result_options import ResultOptions
from headrace.retries import NO_RETRY, RetryPolicy
from headrace.run_names import RunName
from headrace.validation import Validator

__all__ = ("Facts", "FlowSpec", "TaskSpec", "facts_of")


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Facts:
    """What is told of a task or flow when its runs have ended: texts, and no code.

    A function of the user's may hold anything, and so may its options. What outlives
    the runs of a task must not keep that alive.
    """

    name: str
    key: str
    description: str | None
    version: str | None
    tags: frozenset[str]
    names: ParameterNames


@dataclass(slots=True, kw_only=True, eq=False, repr=False, weakref_slot=True)
class TaskSpec:
    """The options of a task, checked.

    Attributes:
        fn: The user's function, as given.
        call: What an attempt calls: ``fn``, or for coroutine code a coroutine
            function that gives its value.
        key: What makes it "the same task": module and qualified name.
        is_async: Whether bodies run on the event loop.
        policy: What was said of retries.
        retry: The same, or None when a failed attempt is final.
        timeout_seconds: Limit of one attempt; None for none.
        limit: What all its runs share, of places and of a rate; None for none.
        interrupt: Whether a plain body that must stop may be interrupted in its thread.
        run_name: How its runs are called, if not as usual.
        log_prints: Whether what bodies print is logged; None for what the flow says.
        hooks: What to call when a run enters a state, if anything.
        results: What was said of storing and caching results, if anything.
        middleware: What goes around the body of each attempt, outermost first.
        is_bare: Whether an attempt takes nothing but the usual steps: the runs of most
            tasks, which must not pay for what the others ask for.
        is_single: The same, and there is one attempt, without limit.
        is_usual: The same, but for hooks that hear of ends, on the loop.
        is_lasting: Whether nothing is kept alive by keeping this: its functions live
            as long as their module.
        owner: The public task object, for functions of the user that are given it.
    """

    fn: Callable[..., Any]
    call: Callable[..., Any]
    name: str
    key: str
    binder: Binder
    is_async: bool
    description: str | None = None
    tags: frozenset[str] = frozenset()
    version: str | None = None
    policy: RetryPolicy = NO_RETRY
    retry: RetryPolicy | None = None
    timeout_seconds: float | None = None
    limit: Limit | None = None
    interrupt: bool = True
    run_name: RunName | None = None
    log_prints: bool | None = None
    hooks: Hooks | None = None
    results: ResultOptions | None = None
    middleware: tuple[Middleware, ...] = ()
    is_bare: bool = True
    is_single: bool = True
    is_usual: bool = True
    is_lasting: bool = False
    owner: Any = None
    facts: Facts | None = field(default=None, init=False)  # made by `facts_of`

    def with_method(
        self, *, fn: Callable[..., Any], call: Callable[..., Any], binder: Binder
    ) -> TaskSpec:
        """The same options for a method bound to an instance."""
        return replace(self, fn=fn, call=call, binder=binder, is_lasting=False)


@dataclass(slots=True, kw_only=True, eq=False, repr=False, weakref_slot=True)
class FlowSpec:
    """The options of a flow, checked; see `TaskSpec` for those of the same name.

    Attributes:
        validator: Checks arguments against the annotations of the function; None if
            they are taken as they are.
        task_runner: Where the bodies of its tasks run; None for the usual place.
    """

    fn: Callable[..., Any]
    call: Callable[..., Any]
    name: str
    key: str
    binder: Binder
    is_async: bool
    description: str | None = None
    version: str | None = None
    policy: RetryPolicy = NO_RETRY
    retry: RetryPolicy | None = None
    timeout_seconds: float | None = None
    run_name: RunName | None = None
    validator: Validator | None = None
    log_prints: bool | None = None
    task_runner: Any = None
    hooks: Hooks | None = None
    results: ResultOptions | None = None
    is_lasting: bool = False  # a flow run has a scope, which is too much to keep
    owner: Any = None
    facts: Facts | None = field(default=None, init=False)

    def with_method(
        self, *, fn: Callable[..., Any], call: Callable[..., Any], binder: Binder
    ) -> FlowSpec:
        """See `TaskSpec.with_method`."""
        validator = self.validator and Validator(self.name, fn, binder)
        return replace(self, fn=fn, call=call, binder=binder, validator=validator)


def facts_of(spec: TaskSpec | FlowSpec) -> Facts:
    """The facts of a spec; the same object each time."""
    facts = spec.facts
    if facts is None:
        facts = Facts(
            name=spec.name,
            key=spec.key,
            description=spec.description,
            version=spec.version,
            tags=spec.tags if isinstance(spec, TaskSpec) else frozenset(),
            names=spec.binder.names,
        )
        spec.facts = facts
    return facts
