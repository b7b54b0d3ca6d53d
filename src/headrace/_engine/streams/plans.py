"""From a call of ``task.stream(...)``, or ``then(...)``, to what the stream is to be."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from headrace._concurrency.bodies import is_plain_code
from headrace._concurrency.deadlines import DEADLINE
from headrace._engine.limiting import refuse_at_once
from headrace._engine.mapping import NO_KWARGS
from headrace._engine.streams.rows import Rows
from headrace._engine.streams.sources import close_all, close_plain
from headrace._engine.streams.stages import StageOptions
from headrace._engine.streams.streaming import Line
from headrace._engine.submitting import apart
from headrace._engine.whole_inputs import (
    gate_of,
    has_pending,
    links_of_whole,
    materialised,
    refuse_failed,
    shared,
    with_whole_data,
)
from headrace.annotations import is_mark, unmapped
from headrace.context import CURRENT, TAGS
from headrace.exceptions import MappingMissingIterable, SubmitOutsideRun
from headrace.futures.watching import Watched, await_ends, block_for_ends
from headrace.specs import TaskSpec

__all__ = ("STREAM_OPTIONS", "Plan", "plan_of", "refuse_ambiguous", "stage_of")

# How many items a stage holds where neither the call nor the task says.
_LIMIT: Final = 100

STREAM_OPTIONS: Final[Mapping[str, Any]] = {
    "limit": None,
    "ordered": True,
    "max_failures": None,
    "return_state": False,
    "wait_for": None,
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Plan:
    """What a stream was told to be, checked.

    Attributes:
        holder: What the code belongs to that made it.
        context: That of its runs.
        args: Whole arguments of the first task.
        kwargs: Those by keyword.
        wait_for: What else each run of the first task waits for.
        prefers_async: Whether to read what is both as an async iterable.
        rows: What is read; None while an argument is a future that has not ended.
        return_state: Whether final states are given.
        max_failures: How many failures are borne; None if nothing was said.
        stages: The first and those after it.
    """

    holder: Any
    context: Context
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    wait_for: Any
    prefers_async: bool
    rows: Rows | None
    return_state: bool
    max_failures: int | None
    stages: tuple[StageOptions, ...]

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.stages[0].spec.name}.stream()"

    @property
    def described(self) -> str:
        """It with all its stages."""
        later = [f".then({stage.spec.name})" for stage in self.stages[1:]]
        return "".join([self.name, *later])

    def with_stage(self, stage: StageOptions) -> Plan:
        """The same with one more stage."""
        return replace(self, stages=(*self.stages, stage))

    def _pending(self) -> Sequence[Watched]:
        if self.rows is not None:
            return ()
        return cast("Sequence[Watched]", has_pending(self.args, self.kwargs))

    async def await_sources(self) -> None:
        """Wait for the futures whose data is to be read."""
        if pending := self._pending():
            await await_ends(pending, None)

    def block_for_sources(self) -> None:
        """The same in plain code.

        Raises:
            BlockedLoop: One needs the loop of this very thread.
        """
        if pending := self._pending():
            block_for_ends(pending, None, what=self.name, instead="async for")

    def close_sources(self) -> None:
        """Close what was never read, in plain code."""
        if self.rows is not None:
            close_plain(self.rows, self.name)

    async def aclose_sources(self) -> None:
        """The same in coroutine code, where there is more that can be closed."""
        if self.rows is not None:
            await close_all(self.rows, self.name)

    def line(self, *, is_here: bool) -> Line:
        """Begin: nothing has been read, and the sources are there.

        Raises:
            UpstreamTaskError: A future whose data was to be read did not complete.
            RunEnded: The flow run or runtime that it belongs to has ended.
        """
        scope, spec = self.holder.scope, self.stages[0].spec
        for each in self.stages:
            refuse_at_once(scope, each.spec, self.context.get(TAGS, frozenset()))
        rows = self.rows or _rows(spec, self.args, self.kwargs, self.prefers_async)
        stages = [self.context.copy().run(_shared, scope, each) for each in self.stages]
        line = Line(self.holder, self.context, stages, rows, is_here=is_here)
        share = functools.partial(shared, scope, spec, verb="stream")
        rows.share(share)
        line.first.links = links_of_whole(scope, self.args, self.kwargs)
        if self.wait_for is not None:
            line.first.wait_for = gate_of(scope, spec, self.wait_for, "stream")
        return line


def _shared(scope: Any, stage: StageOptions) -> StageOptions:
    """A stage, with what goes to each of its runs looked into once."""
    share = functools.partial(shared, scope, stage.spec, verb="stream")
    constants = tuple([share(value) for value in stage.constants])
    named = {name: share(value) for name, value in stage.named.items()}
    return replace(stage, constants=constants, named=named or NO_KWARGS)


def plan_of(
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Mapping[str, Any],
) -> Plan:
    """What a call of ``stream()`` asks for; its arguments fit.

    Args:
        spec: The task.
        args: Its arguments.
        kwargs: Those by keyword.
        options: All the others, with their defaults.

    Raises:
        SubmitOutsideRun: The code belongs to no flow, task or runtime.
        MappingMissingIterable, MappingLengthMismatch: See `Rows`.
        UpstreamTaskError: A future given as a whole argument did not complete.
        TypeError, ValueError: An option makes no sense.
    """
    name = f"{spec.name}.stream()"
    stage = _stage(spec, options["limit"], options["ordered"], name)
    most = options["max_failures"]
    if most is not None:
        most = _whole_number(most, f"{name}: max_failures", at_least=0)
    return_state = _flag(options["return_state"], f"{name}: return_state")
    holder = CURRENT.get(None)
    if holder is None:
        raise SubmitOutsideRun(spec.name, "stream")
    deadline = DEADLINE.get()
    if deadline is not None:
        deadline.refuse(name)
    prefers_async = not is_plain_code()
    is_pending = bool(has_pending(args, kwargs))
    return Plan(
        holder=holder,
        context=apart(copy_context()),
        args=args,
        kwargs=kwargs,
        wait_for=materialised(options["wait_for"]),
        prefers_async=prefers_async,
        rows=None if is_pending else _rows(spec, args, kwargs, prefers_async),
        return_state=return_state,
        max_failures=most,
        stages=(stage,),
    )


def _rows(
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    prefers_async: bool,
) -> Rows:
    given, named = with_whole_data(args, kwargs)
    try:
        return Rows(spec.name, spec.binder, given, named, prefers_async=prefers_async)
    except MappingMissingIterable:
        refuse_failed(f"{spec.name}.stream()", (*args, *kwargs.values()))
        raise


def stage_of(
    task: object,
    constants: tuple[Any, ...],
    named: dict[str, Any],
    *,
    limit: object,
    ordered: object,
) -> StageOptions:
    """What a call of ``then()`` asks for.

    Raises:
        TypeError, ValueError: It is no task, or an option makes no sense.
        ParameterBindError: The arguments do not fit.
    """
    spec = getattr(task, "spec", None)
    if not isinstance(spec, TaskSpec):
        raise TypeError(
            f"then() got {task!r}, which is no task. Decorate the function with @task, "
            f"or write then(task(function))."
        )
    name = f"then({spec.name})"
    stage = _stage(spec, limit, ordered, name)
    spec.binder.check((None, *constants), named)
    return replace(
        stage,
        constants=tuple([_unmarked(value) for value in constants]),
        named={key: _unmarked(value) for key, value in named.items()},
    )


def _unmarked(value: Any) -> Any:
    return value.value if is_mark(value) and isinstance(value, unmapped) else value


def _stage(spec: TaskSpec, limit: object, ordered: object, name: str) -> StageOptions:
    if limit is None:
        limit = _usual_limit(spec)
    return StageOptions(
        spec=spec,
        limit=_whole_number(limit, f"{name}: limit", at_least=1),
        ordered=_flag(ordered, f"{name}: ordered"),
    )


def _usual_limit(spec: TaskSpec) -> int:
    """How many items a stage holds if the call does not say: what its task says."""
    limit = spec.limit
    if limit is None or limit.key is not None or not isinstance(limit.concurrency, int):
        return _LIMIT
    return limit.concurrency


def _whole_number(given: object, what: str, *, at_least: int) -> int:
    text = f"{what}={given!r} must be a whole number of at least {at_least}."
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{text} Leave it out for the default.")
    if given < at_least:
        raise ValueError(f"{text} Leave it out for the default.")
    return given


def _flag(given: object, what: str) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{what}={given!r} must be True or False.")
    return given


def refuse_ambiguous(
    spec: TaskSpec, args: Sequence[Any], options: Mapping[str, Any]
) -> None:
    """Refuse an option that may as well be meant for the function.

    Args:
        spec: The task.
        args: What was given by position.
        options: Those that were given.

    Raises:
        TypeError: The function has a parameter of that name, and no argument for it.
    """
    filled = spec.binder.positional_names(len(args))
    for name in options:
        if name in spec.binder.names.all and name not in filled:
            raise TypeError(
                f"{spec.name}.stream({name}=...) may mean the option of stream() or the "
                f"parameter of {spec.name}. Give the parameter by position; then "
                f"{name}= is the option."
            )
