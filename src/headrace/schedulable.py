"""What tasks can do and flows cannot: be submitted, and mapped over many elements."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast, overload

from headrace._concurrency.bodies import is_plain_code, shielded, this_face
from headrace._concurrency.current import holder_here
from headrace._engine import submitting
from headrace._engine.streams.plans import STREAM_OPTIONS, plan_of, refuse_ambiguous
from headrace._engine.whole_inputs import has_pending
from headrace._types import Untold
from headrace.exceptions import ParameterBindError, SubmitOutsideRun
from headrace.futures import (
    AsyncSubmission,
    AsyncTaskFutures,
    Submission,
    TaskFuture,
    TaskFutures,
    TaskStates,
)
from headrace.futures.lists import FutureList
from headrace.runnable import Runnable
from headrace.specs import TaskSpec
from headrace.states import State
from headrace.streams import Stream

__all__ = ("Schedulable",)

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

# Of every kind of future: those of coroutine tasks give something to await.
_block_for_state: Final = TaskFuture[Any].wait
_block_for_states: Final = FutureList[Any, Any].wait

# Makes a submission: to call a class that has a constructor takes longer.
_new: Final = object.__new__


class Schedulable(Runnable[P, R_co]):
    """A task: its runs can be left to the scheduler of the flow or runtime around."""

    spec: TaskSpec

    @overload
    def submit(  # type: ignore[overload-overlap]
        self: Schedulable[P, Untold], /, *args: P.args, **kwargs: P.kwargs
    ) -> Submission[Any]: ...
    @overload
    def submit(  # type: ignore[overload-overlap]
        self: Schedulable[P, Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncSubmission[T]: ...
    @overload
    def submit(
        self: Schedulable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Submission[T]: ...
    @overload
    def submit(
        self: Schedulable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    def submit(
        self: Schedulable[..., T],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    def submit(
        self: Schedulable[..., Untold],
        /,
        *args: Any,
        wait_for: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> Submission[Any]: ...
    @overload
    def submit(
        self: Schedulable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        wait_for: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> AsyncSubmission[T]: ...
    @overload
    def submit(
        self: Schedulable[..., T],
        /,
        *args: Any,
        wait_for: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> Submission[T]: ...
    def submit(  # type: ignore[misc]
        self,
        /,
        *args: Any,
        return_state: bool = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Schedule a run at once, and give its submission: a future already.

        ``await task.submit(...)`` gives the `TaskFuture`; awaiting that gives the value.

        Args:
            *args: For the function; futures in them become dependencies.
            return_state: True gives the final state instead: blocks for it in plain
                code, and gives something to await in coroutine code.
            wait_for: Futures, in any structure, that must have completed before.
            **kwargs: For the function.

        Raises:
            ParameterBindError: The arguments do not fit. No run was made.
            SubmitOutsideRun: The code belongs to no flow, task or runtime.
            RunEnded: The flow run or runtime that it belongs to has ended.
        """
        spec = self.spec
        if kwargs or not spec.binder.fewest <= len(args) <= spec.binder.most:
            self._check(args, kwargs)
        holder = holder_here(None)
        if holder is None:
            raise SubmitOutsideRun(spec.name, "submit")
        if this_face() is None:
            run = submitting.submit_run(holder, spec, args, kwargs, wait_for)
        else:
            with shielded():
                run = submitting.submit_run(holder, spec, args, kwargs, wait_for)
        if return_state:
            return _block_for_state(run) if is_plain_code() else run.astate()
        kind: Any = AsyncSubmission if spec.is_async else Submission
        submission = _new(kind)
        submission.future = run
        return submission

    @overload
    def map(
        self: Schedulable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> TaskStates[T]: ...
    @overload
    def map(
        self: Schedulable[..., T],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> TaskStates[T]: ...
    @overload
    def map(
        self: Schedulable[..., Untold],
        /,
        *args: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> TaskFutures[Any]: ...
    @overload
    def map(  # pyright: ignore[reportOverlappingOverload]
        self: Schedulable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> AsyncTaskFutures[T]: ...
    @overload
    def map(
        self: Schedulable[..., T],
        /,
        *args: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> TaskFutures[T]: ...
    def map(
        self,
        /,
        *args: Any,
        return_state: bool = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Schedule one run for each element of the iterables given.

        Iterables are split and must have the same length; strings, bytes, open files,
        pydantic models, data frames and ``unmapped(...)`` values go to every run
        whole. A future given as a whole argument is awaited first and its data split;
        in coroutine code ``await task.map(...)`` then, as the length is not known.

        Args:
            *args: For the function.
            return_state: True gives the list of final states instead; see `submit`.
            wait_for: Futures that must have completed before each run.
            **kwargs: For the function.

        Returns:
            The futures, a list in the order of the elements.

        Raises:
            MappingMissingIterable: No argument can be split.
            MappingLengthMismatch: The lengths differ.
            UpstreamTaskError: A future given as a whole argument did not complete.
            ParameterBindError, SubmitOutsideRun, RunEnded: As `submit`.
        """
        spec = self.spec
        self._check(args, kwargs)
        holder = holder_here(None)
        if holder is None:
            raise SubmitOutsideRun(spec.name, "map")
        in_coroutine_code = not is_plain_code()
        if in_coroutine_code and has_pending(args, kwargs):
            futures = submitting.unready_map(holder, spec, args, kwargs, wait_for)
        elif this_face() is None:
            futures = submitting.map_runs(holder, spec, args, kwargs, wait_for)
        else:
            with shielded():
                futures = submitting.map_runs(holder, spec, args, kwargs, wait_for)
        if return_state:
            if in_coroutine_code:
                return _states_of(futures)
            return TaskStates[Any](cast("list[State[Any]]", _block_for_states(futures)))
        return futures

    @overload
    def stream(
        self: Schedulable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        limit: int | None = None,
        ordered: bool = True,
        max_failures: int | None = None,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> Stream[State[T]]: ...
    @overload
    def stream(
        self: Schedulable[..., T],
        /,
        *args: Any,
        limit: int | None = None,
        ordered: bool = True,
        max_failures: int | None = None,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> Stream[State[T]]: ...
    @overload
    def stream(
        self: Schedulable[..., Untold],
        /,
        *args: Any,
        limit: int | None = None,
        ordered: bool = True,
        max_failures: int | None = None,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> Stream[Any]: ...
    @overload
    def stream(
        self: Schedulable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        limit: int | None = None,
        ordered: bool = True,
        max_failures: int | None = None,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> Stream[T]: ...
    @overload
    def stream(
        self: Schedulable[..., T],
        /,
        *args: Any,
        limit: int | None = None,
        ordered: bool = True,
        max_failures: int | None = None,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> Stream[T]: ...
    def stream(self, /, *args: Any, **kwargs: Any) -> Any:
        """Results for the elements of iterables, run as the results are asked for.

        The lazy sibling of `map`, for sources of any length: iterables and async
        iterables, endless ones too. Arguments are split as by `map`, several iterables
        side by side. Use it in ``async for``, or in ``for`` in plain code; see
        `headrace.streams.Stream`.

        Args:
            *args: For the function.
            limit: How many items may have been read whose results were not asked for
                yet: so many runs go on at once at the most. By default 100.
            ordered: False gives results as the runs end, not in the order of the items.
            max_failures: How many failures are left out before one is raised; with
                ``return_state`` how many are given.
            return_state: True gives final states, also of what failed.
            wait_for: Futures that must have completed before each run.
            **kwargs: For the function.

        Raises:
            TypeError, ValueError: An option makes no sense, or has the name of a
                parameter that no argument was given for.
            MappingMissingIterable, MappingLengthMismatch, UpstreamTaskError,
            ParameterBindError, SubmitOutsideRun: As `map`.
        """
        spec = self.spec
        options = {name: kwargs.pop(name) for name in STREAM_OPTIONS if name in kwargs}
        refuse_ambiguous(spec, args, options)
        self._check(args, kwargs)
        stream: Stream[Any] = Stream(
            plan_of(spec, args, kwargs, {**STREAM_OPTIONS, **options})
        )
        return stream

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self.spec.binder.check(args, kwargs)
        except ParameterBindError as error:
            names = list(self.spec.binder.signature.parameters)
            if names[:1] == ["cls"]:
                error.add_note(
                    "If this is a class method: put @task above @classmethod; in the "
                    "other order only plain calls know their class on Python 3.13."
                )
            raise


async def _states_of(futures: FutureList[Any, Any]) -> TaskStates[Any]:
    return TaskStates(cast("list[State[Any]]", await futures.astate()))
