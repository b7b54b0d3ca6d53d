"""``wait_for``: what must have ended before a run, without being an input."""

from __future__ import annotations

import asyncio
import threading
from collections import UserList, deque
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from headrace import Runtime, allow_failure, flow, quote, task, unmapped
from headrace.exceptions import BlockedLoop, UpstreamTaskError
from headrace.states import Completed, Failed, Running, StateType


@task
async def slow(seconds: float = 10) -> float:
    await anyio.sleep(seconds)
    return seconds


@task
async def broken() -> None:
    raise ValueError("boom")


@task
async def now(value: Any = None) -> float:
    return anyio.current_time()


def each_of(futures: list[Any]) -> Iterator[Any]:
    yield from futures


class Iterable:
    """Not a collection, and can be read once or more."""

    def __init__(self, items: list[Any]) -> None:
        self.inside = (items,)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.inside[0])


STRUCTURES = [
    pytest.param(lambda f: f, id="one-future"),
    pytest.param(lambda f: [f], id="list"),
    pytest.param(lambda f: (f,), id="tuple"),
    pytest.param(lambda f: {f}, id="set"),
    pytest.param(lambda f: {"a": f}, id="dict"),
    pytest.param(lambda f: {"a": f}.values(), id="values-of-a-dict"),
    pytest.param(lambda f: {"a": f}.items(), id="items-of-a-dict"),
    pytest.param(lambda f: {f: "a"}.keys(), id="keys-of-a-dict"),
    pytest.param(lambda f: [[{"a": (f,)}], 1, "x", None], id="nested"),
    pytest.param(lambda f: deque([f]), id="deque"),
    pytest.param(lambda f: UserList([f]), id="user-list"),
    pytest.param(lambda f: each_of([1, f]), id="generator"),
    pytest.param(lambda f: map({1: f}.get, [1]), id="map"),
    pytest.param(lambda f: iter([f]), id="iterator"),
    pytest.param(lambda f: Iterable([f]), id="iterable"),
    pytest.param(lambda f: allow_failure([f]), id="allow-failure"),
    pytest.param(lambda f: allow_failure(each_of([f])), id="allowed-generator"),
    pytest.param(unmapped, id="unmapped"),
    pytest.param(lambda f: [unmapped([f])], id="unmapped-inside"),
]


@pytest.mark.rule("WAIT-01")
@pytest.mark.parametrize("build", STRUCTURES)
async def test_a_submitted_run_waits_for_the_futures_in_any_structure(
    build: Callable[[Any], Any],
) -> None:
    async with Runtime():
        started = anyio.current_time()
        upstream = await slow.submit()

        at = await now.submit(wait_for=build(upstream)).aresult()

    assert at - started == pytest.approx(10)


@pytest.mark.rule("WAIT-01")
@pytest.mark.parametrize("build", STRUCTURES)
async def test_an_awaited_run_waits_for_the_futures_in_any_structure(
    build: Callable[[Any], Any],
) -> None:
    async with Runtime():
        started = anyio.current_time()
        upstream = slow.submit()

        at = await now(wait_for=build(upstream))

    assert at - started == pytest.approx(10)


@pytest.mark.rule("WAIT-01", "MAP-17")
@pytest.mark.parametrize("build", STRUCTURES)
async def test_every_run_of_a_map_waits(build: Callable[[Any], Any]) -> None:
    async with Runtime():
        started = anyio.current_time()
        upstream = await slow.submit()

        times = await now.map([1, 2, 3], wait_for=build(upstream)).aresult()

    assert [at - started for at in times] == pytest.approx([10, 10, 10])


@pytest.mark.rule("WAIT-01")
@pytest.mark.parametrize(
    "structure",
    [
        pytest.param(None, id="none"),
        pytest.param([], id="empty-list"),
        pytest.param("text", id="text"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param(5, id="number"),
        pytest.param(0.0, id="zero"),
        pytest.param([1, "x", None, {"a": object()}], id="plain-data"),
        pytest.param(object(), id="object"),
        pytest.param(Completed(), id="completed-state"),
        pytest.param({"a": [Completed(data=1)]}, id="completed-states"),
    ],
)
async def test_what_is_no_future_is_not_waited_for(structure: Any) -> None:
    async with Runtime():
        started = anyio.current_time()

        submitted = await now.submit(wait_for=structure).aresult()
        awaited = await now(wait_for=structure)
        mapped = await now.map([1], wait_for=structure).aresult()

    assert [submitted, awaited, *mapped] == [started] * 3


@pytest.mark.rule("WAIT-01")
async def test_a_text_is_not_read_letter_by_letter_and_a_file_not_line_by_line() -> (
    None
):
    class Unreadable(str):
        def __iter__(self) -> Iterator[str]:
            raise AssertionError("read")

        __slots__ = ()

    async with Runtime():
        await now.submit(wait_for=Unreadable("x")).aresult()


@pytest.mark.rule("WAIT-01")
async def test_a_generator_that_submits_is_read_once_and_waited_for() -> None:
    reads: list[float] = []

    def submitting() -> Iterator[Any]:
        for seconds in (10, 20):
            reads.append(seconds)
            yield slow.submit(seconds)

    async with Runtime():
        started = anyio.current_time()

        times = await now.map([1, 2], wait_for=submitting()).aresult()

    assert [at - started for at in times] == pytest.approx([20, 20])
    assert reads == [10, 20]


@pytest.mark.rule("WAIT-01")
async def test_a_generator_that_raises_raises_to_the_caller_and_makes_no_run() -> None:
    def raising() -> Iterator[Any]:
        yield slow.submit(0)
        raise LookupError("nothing more")

    @task
    async def parent() -> str:
        for submit in (now.submit, lambda **options: now.map([1], **options)):
            with pytest.raises(LookupError):
                submit(wait_for=raising())
        with pytest.raises(LookupError):
            await now(wait_for=raising())
        await anyio.sleep_forever()
        return ""

    async with Runtime() as runtime:
        future = await parent.submit()
        await anyio.sleep(1)
        future.cancel()
        await future.astate()
        stats = runtime.stats()

    assert stats is not None


@pytest.mark.rule("WAIT-02", "RES-12")
@pytest.mark.parametrize("doing", ["submitted", "awaited", "mapped"])
async def test_a_dependency_that_failed_holds_a_run_back(doing: str) -> None:
    ran: list[int] = []

    @task
    async def downstream(value: int = 0) -> None:
        ran.append(value)

    async with Runtime():
        upstream = [broken.submit()]
        if doing == "submitted":
            state = await downstream.submit(wait_for=upstream).astate()
        elif doing == "awaited":
            state = await downstream(wait_for=upstream, return_state=True)
        else:
            (state,) = await downstream.map([1], wait_for=upstream).astate()

    assert state is not None
    assert (state.type, state.name) == (StateType.CANCELLED, "NotReady")
    error = state.result(raise_on_failure=False)
    assert isinstance(error, UpstreamTaskError)
    assert isinstance(error.__cause__, ValueError)
    assert ran == []


@pytest.mark.rule("WAIT-02")
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda f: [allow_failure(f)], id="item"),
        pytest.param(lambda f: allow_failure([f]), id="whole"),
        pytest.param(lambda f: {"a": allow_failure((f,))}, id="inside"),
        pytest.param(lambda f: allow_failure(each_of([f])), id="generator"),
    ],
)
async def test_allow_failure_waives_a_dependency_that_failed(
    build: Callable[[Any], Any],
) -> None:
    async with Runtime():
        upstream = broken.submit()

        submitted = await now.submit(wait_for=build(upstream)).astate()
        awaited = await now(wait_for=build(upstream), return_state=True)
        mapped = await now.map([1], wait_for=build(upstream)).astate()

    for state in (submitted, awaited, *mapped):
        assert state is not None
        assert state.is_completed()


@pytest.mark.rule("WAIT-02")
async def test_a_failure_allowed_in_wait_for_is_waited_for_all_the_same() -> None:
    @task
    async def slow_failure() -> None:
        await anyio.sleep(10)
        raise ValueError("late")

    async with Runtime():
        started = anyio.current_time()
        at = await now.submit(wait_for=[allow_failure(slow_failure.submit())]).aresult()

    assert at - started == pytest.approx(10)


@pytest.mark.rule("WAIT-02", "ANN-07")
async def test_a_quoted_dependency_is_ignored() -> None:
    release = asyncio.Event()

    @task
    async def hold() -> None:
        await release.wait()

    async with Runtime():
        started = anyio.current_time()
        upstream, failed = await hold.submit(), broken.submit()

        submitted = await now.submit(
            wait_for=[quote(upstream), quote(failed)]
        ).aresult()
        awaited = await now(wait_for=quote([upstream, failed]))
        release.set()
        await failed.astate()

    assert (submitted, awaited) == (started, started)


@pytest.mark.rule("WAIT-03")
@pytest.mark.parametrize("make", [Running, Failed], ids=lambda make: make.__name__)
async def test_a_made_state_that_did_not_complete_holds_a_run_back(
    make: Callable[[], Any],
) -> None:
    async with Runtime():
        submitted = await now.submit(wait_for=[make()]).astate()
        awaited = await now(wait_for=make(), return_state=True)

    assert submitted is not None
    assert (submitted.name, awaited.name) == ("NotReady", "NotReady")


@pytest.mark.rule("WAIT-04")
async def test_a_body_gets_nothing_of_what_it_waited_for() -> None:
    received: list[Any] = []

    @task
    async def downstream(*args: Any, **kwargs: Any) -> None:
        received.append((args, kwargs))

    async with Runtime():
        await downstream.submit(1, wait_for=[slow.submit(1)]).aresult()
        await downstream(2, wait_for=[slow.submit(1)])

    assert received == [((1,), {}), ((2,), {})]


@pytest.mark.rule("WAIT-05")
async def test_inputs_and_dependencies_are_awaited_once_for_all_attempts() -> None:
    times: list[float] = []

    @task(retries=2, retry_delay_seconds=5)
    async def flaky(value: Any) -> None:
        times.append(anyio.current_time())
        raise ValueError("again")

    async with Runtime():
        started = anyio.current_time()
        await flaky.submit(slow.submit(10), wait_for=slow.submit(20)).astate()

    assert [at - started for at in times] == pytest.approx([20, 25, 30])


@pytest.mark.rule("WAIT-05")
async def test_of_a_failed_input_and_a_failed_dependency_the_input_is_named() -> None:
    async with Runtime():
        dependency, upstream = await broken.submit(), await broken.submit()

        with pytest.raises(UpstreamTaskError) as caught:
            await now.submit(upstream, wait_for=dependency).aresult()

    assert caught.value.upstream_name == upstream.name


@pytest.mark.rule("WAIT-06")
async def test_the_value_of_a_direct_call_is_nothing_to_wait_for() -> None:
    async with Runtime():
        value = await slow(1)
        started = anyio.current_time()

        assert await now.submit(wait_for=[value]).aresult() == started


@pytest.mark.rule("WAIT-08")
async def test_a_subflow_waits() -> None:
    @flow
    async def inner() -> float:
        return anyio.current_time()

    @flow
    async def outer() -> float:
        return await inner(wait_for=[slow.submit()])

    started = anyio.current_time()

    assert await outer() - started == pytest.approx(10)


@pytest.mark.rule("WAIT-08")
def test_a_plain_subflow_waits() -> None:
    release = threading.Event()

    @task
    def hold() -> int:
        assert release.wait(5)
        return 1

    @flow
    def inner(upstream: Any) -> bool:
        return upstream.done()

    @flow
    def outer() -> bool:
        upstream = hold.submit()
        threading.Timer(0.01, release.set).start()
        return inner(quote(upstream), wait_for=upstream)

    assert outer() is True


@pytest.mark.rule("WAIT-08")
async def test_a_subflow_whose_dependency_failed_is_not_ready() -> None:
    @flow
    async def inner() -> None:
        raise AssertionError("it ran")

    @flow
    async def outer() -> Any:
        upstream = broken.submit()
        with pytest.raises(UpstreamTaskError):
            await inner(wait_for=[upstream])
        return (await inner(wait_for=upstream, return_state=True)).name

    assert await outer() == "NotReady"


@pytest.mark.rule("WAIT-08")
@pytest.mark.parametrize("given", [[], [1], (), "x"], ids=repr)
async def test_a_root_flow_refuses_wait_for(given: Any) -> None:
    @flow
    async def root() -> None:
        pass

    @flow
    def plain_root() -> None:
        pass

    with pytest.raises(ValueError, match="only flows run as subflows can wait"):
        await root(wait_for=given)
    with pytest.raises(ValueError, match="only flows run as subflows can wait"):
        plain_root(wait_for=given)
    with pytest.raises(ValueError, match="only flows run as subflows can wait"):
        await plain_root.acall(wait_for=given)


@pytest.mark.rule("WAIT-08")
async def test_a_flow_in_a_runtime_or_in_a_task_may_wait() -> None:
    @flow
    async def inner() -> float:
        return anyio.current_time()

    @task
    async def outer() -> float:
        return await inner(wait_for=slow.submit())

    async with Runtime():
        started = anyio.current_time()
        first = await inner(wait_for=slow.submit())
        second = await outer()

    assert (first - started, second - started) == pytest.approx((10, 20))


@pytest.mark.rule("CALL-14", "WAIT-01")
async def test_wait_for_is_not_passed_on_to_a_body_that_takes_any_keyword() -> None:
    @task
    async def anything(**kwargs: Any) -> Any:
        return kwargs

    async with Runtime():
        assert await anything.submit(a=1, wait_for=[slow.submit(0)]).aresult() == {
            "a": 1
        }


@pytest.mark.rule("WAIT-01")
def test_plain_runs_wait_too() -> None:
    order: list[str] = []

    @task
    def step(name: str) -> None:
        order.append(name)

    @flow
    def program() -> None:
        first = step.submit("first")
        second = step.submit("second", wait_for=(f for f in [first]))
        step("third", wait_for={"a": second})
        step.map(["fourth"], wait_for=[second]).wait()

    program()

    assert order == ["first", "second", "third", "fourth"]


@pytest.mark.rule("WAIT-09")
@pytest.mark.parametrize("how", ["wait_for", "argument", "element"])
def test_runs_cannot_be_made_to_wait_for_each_other(how: str) -> None:
    held, release = threading.Event(), threading.Event()

    @task
    async def hold_the_loop() -> None:
        held.set()
        assert release.wait(5)

    @task
    async def step(value: Any = None) -> None:
        pass

    @flow
    def program() -> Any:
        hold_the_loop.submit()
        assert held.wait(5)
        upstreams: list[Any] = []
        first: Any
        if how == "wait_for":
            first = step.submit(wait_for=upstreams)
        elif how == "argument":
            first = step.submit(upstreams)
        else:
            (first,) = step.map([0], wait_for=upstreams)
        second = step.submit(wait_for=first)
        upstreams.append(second)
        release.set()
        states: list[Any] = [future.wait(5) for future in (first, second)]
        return {"states": states}

    assert all(state.is_completed() for state in program()["states"])


# -- Maps ---------------------------------------------------------------------------


@pytest.mark.rule("WAIT-01", "MAP-17")
async def test_5_000_runs_can_wait_for_5_000_others() -> None:
    async with Runtime():
        started = anyio.current_time()
        upstreams = slow.map([1] * 5_000)

        times = await now.map(range(5_000), wait_for=upstreams).aresult()

    # Were each pair of them a wait of its own, this would take minutes.
    assert max(times) - started == pytest.approx(1)
    assert max(times) == min(times)


@pytest.mark.rule("WAIT-02", "MAP-17")
async def test_the_first_dependency_that_failed_holds_the_whole_map_back() -> None:
    @task
    async def fail(text: str) -> None:
        raise ValueError(text)

    async with Runtime():
        upstreams = [slow.submit(), *fail.map(["a", "b"])]

        states = await now.map([1, 2], wait_for=upstreams).astate()

    for state in states:
        assert state is not None
        error = state.result(raise_on_failure=False)
        assert isinstance(error, UpstreamTaskError)
        assert error.upstream_name == "fail-0"
        assert str(error.__cause__) == "a"


@pytest.mark.rule("WAIT-02", "MAP-17")
async def test_dependencies_of_a_map_that_failed_count_through_its_runs() -> None:
    @flow
    async def handled() -> None:
        states = await now.map(
            [1], wait_for=[broken.submit(), broken.submit()]
        ).astate()
        assert [state.name for state in states if state] == ["NotReady"]

    @flow
    async def allowed() -> None:
        await now.map([1], wait_for=allow_failure([broken.submit()])).aresult()

    @flow
    async def forgotten() -> None:
        now.map([1], wait_for=[broken.submit()])

    assert (await handled(return_state=True)).name == "Completed"
    assert (await allowed(return_state=True)).name == "Completed"
    assert (await forgotten(return_state=True)).name == "Failed"


@pytest.mark.rule("WAIT-05", "MAP-17")
async def test_of_an_element_and_a_dependency_that_failed_the_element_is_named() -> (
    None
):
    async with Runtime():
        dependency, upstream = await broken.submit(), await broken.submit()

        with pytest.raises(UpstreamTaskError) as caught:
            await now.map([upstream], wait_for=dependency).aresult()

    assert caught.value.upstream_name == upstream.name


@pytest.mark.rule("WAIT-01", "MAP-17")
async def test_a_map_waits_for_its_elements_and_its_dependencies_together() -> None:
    async with Runtime():
        started = anyio.current_time()
        elements = [slow.submit(5), slow.submit(30), 0]

        times = await now.map(elements, wait_for=[slow.submit(20)]).aresult()

    assert [at - started for at in times] == pytest.approx([20, 30, 20])


@pytest.mark.rule("WAIT-01", "MAP-17")
async def test_a_map_whose_dependencies_have_ended_starts_at_once() -> None:
    async with Runtime():
        upstreams = slow.map([1, 2])
        await upstreams.aresult()
        started = anyio.current_time()

        assert await now.map([1, 2], wait_for=upstreams).aresult() == [started] * 2


@pytest.mark.rule("MAP-17")
async def test_runs_of_a_map_can_be_cancelled_while_they_wait() -> None:
    async with Runtime():
        futures = now.map(range(3), wait_for=[slow.submit()])
        await anyio.sleep(1)
        futures[1].cancel()
        states = await futures.astate()

    assert [state.name for state in states if state] == [
        "Completed",
        "Cancelled",
        "Completed",
    ]


@pytest.mark.rule("MAP-17")
async def test_a_map_that_waits_ends_with_its_flow() -> None:
    kept: list[Any] = []

    @flow
    async def program() -> None:
        kept.extend(now.map(range(100), wait_for=[slow.submit()]))
        raise LookupError

    state = await program(return_state=True)

    assert state.name == "Failed"
    assert {future.state.name for future in kept} == {"Cancelled"}


@pytest.mark.rule("WAIT-01", "MAP-17")
def test_a_map_waits_for_runs_of_another_loop() -> None:
    release = threading.Event()

    @task
    def hold() -> int:
        assert release.wait(5)
        return 1

    @task
    def is_released(_: int) -> bool:
        return release.is_set()

    with Runtime():
        upstreams = [hold.submit(), hold.submit()]
        with Runtime():
            futures = is_released.map([1, 2], wait_for=upstreams)
            release.set()

            assert futures.result() == [True, True]


@pytest.mark.rule("WAIT-01", "MAP-17")
async def test_waiting_for_runs_of_a_loop_that_is_blocked_is_refused() -> None:
    @flow
    def inner(upstream: Any) -> Any:
        mapped: Any = now.map([1, 2], wait_for=[upstream, upstream]).wait()
        submitted: Any = now.submit(wait_for=[upstream]).wait()
        return {"states": [*mapped, submitted]}

    @flow
    async def outer() -> Any:
        upstream = await slow.submit()
        return inner(quote(upstream))

    states = (await outer())["states"]

    assert len(states) == 3
    for state in states:
        error = state.result(raise_on_failure=False)
        assert isinstance(error, BlockedLoop)
        assert "await inner.acall(...)" in str(error)
