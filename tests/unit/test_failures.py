from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any, cast

import cloudpickle  # type: ignore[import-untyped]
import pytest

from headrace import Runtime, flow, task
from headrace.cache_policies import INPUTS, TASK_SOURCE
from headrace.caching import MemoryCache
from headrace.exceptions import InjectedFailure
from headrace.storage import MemoryStorage
from headrace.task_runners import ThreadPoolTaskRunner
from headrace.testing import VirtualClock, fail_on, no_retries


class Failing(Exception):
    pass


class Down(Exception):
    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port}")  # so it cannot be copied


@task(retries=2)
def double(x: int) -> int:
    return 2 * x


@task(retries=2)
async def triple(x: int) -> int:
    return 3 * x


@task(retries=1, retry_delay_seconds=3600)
async def slow(x: int) -> int:
    return x


@task
async def numbers(n: int) -> Any:
    for number in range(n):
        yield number


# -- which attempts fail -----------------------------------------------------------


def test_every_attempt_fails_unless_told_otherwise() -> None:
    with fail_on(double) as failures, pytest.raises(InjectedFailure) as caught:
        double(1)

    assert failures.count == 3
    assert "attempt 3 of the run 'double-0'" in str(caught.value)


def test_the_attempts_named_fail_and_the_next_one_calls_the_function() -> None:
    with fail_on(double, attempts=[1, 2]) as failures:
        assert double(1) == 2

    assert failures.count == 2


def test_attempts_are_counted_for_each_run() -> None:
    with Runtime(), fail_on(double, attempts=range(1, 2)) as failures:
        assert double.map([1, 2, 3]).result() == [2, 4, 6]

    assert failures.count == 3


def test_it_is_undone_when_the_block_is_left() -> None:
    spec = double.spec

    with pytest.raises(ZeroDivisionError), fail_on(double):
        _ = 1 / 0

    assert double.spec is spec
    assert double(1) == 2


def test_a_run_that_is_made_in_the_block_and_starts_behind_it_does_not_fail() -> None:
    is_over = threading.Event()

    @task
    def first() -> None:
        assert is_over.wait(5)

    with Runtime():
        with fail_on(double):
            future = double.submit(1, wait_for=[first.submit()])
        is_over.set()

        assert future.value() == 2


def test_other_tasks_and_the_bare_function_do_not_fail() -> None:
    other = double.with_options(name="other")

    with fail_on(double):
        assert double.fn(1) == 2
        assert other(1) == 2


def test_the_keys_of_cached_runs_stay_the_same() -> None:
    cached = double.with_options(
        name="cached", cache_key_fn=INPUTS + TASK_SOURCE, result_storage=MemoryStorage()
    )

    with Runtime(cache=MemoryCache()):
        with fail_on(cached, attempts=[2]):
            assert cached.fn is double.fn
            in_block = cached(1, return_state=True)
        behind = cached(1, return_state=True)

    assert [in_block.name, behind.name] == ["Completed", "Cached"]


def test_blocks_may_be_nested_and_left_in_any_order() -> None:
    outer = fail_on(double, attempts=[1], exception=OSError)
    inner = fail_on(double, attempts=[2], exception=KeyError)
    seen: list[int] = []

    first = outer.__enter__()
    second = inner.__enter__()
    seen.append(double(1))
    outer.__exit__(None, None, None)
    with no_retries():
        seen.append(double(2))  # nobody fails at the first attempt any more
    inner.__exit__(None, None, None)

    assert seen == [2, 4]
    assert (first.count, second.count) == (1, 1)


def test_many_threads_may_be_in_blocks_of_one_task_at_once() -> None:
    spec = double.spec
    together = threading.Barrier(8, timeout=5)
    counts: list[int] = []

    def use() -> None:
        with fail_on(double, attempts=[9]) as failures:
            together.wait()
            assert double(1) == 2
            together.wait()
        counts.append(failures.count)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts == [0] * 8
    assert double.spec is spec


def test_options_that_are_assigned_in_the_block_stay() -> None:
    local = task(double.fn, name="local")

    with fail_on(local):
        local.retries = 1

    assert local.retries == 1
    assert local(1) == 2


# -- every way to run a task -------------------------------------------------------


def test_it_fails_a_plain_task_through_every_door(virtual_clock: VirtualClock) -> None:
    async def main() -> None:
        async with Runtime():
            for run in (
                lambda: double.acall(1),
                lambda: double.submit(1).aresult(),
                lambda: double.map([1]).aresult(),
                lambda: asyncio.to_thread(double, 1),
            ):
                with pytest.raises(InjectedFailure):
                    await run()

    with fail_on(double) as failures:
        virtual_clock.run(main())

    assert failures.count == 12


def test_it_fails_a_coroutine_task_through_every_door(
    virtual_clock: VirtualClock,
) -> None:
    async def main() -> None:
        async with Runtime():
            for run in (
                lambda: triple(1),
                lambda: triple.submit(1).aresult(),
                lambda: triple.map([1]).aresult(),
            ):
                with pytest.raises(InjectedFailure):
                    await run()

    with fail_on(triple) as failures:
        virtual_clock.run(main())

    assert failures.count == 9


def test_it_fails_generators_flows_and_methods(virtual_clock: VirtualClock) -> None:
    class Client:
        @task
        async def fetch(self, x: int) -> int:
            return x

    @flow
    async def main() -> int:
        return await triple(1)

    async def use() -> list[Any]:
        return [await cast("Any", numbers(2)), await Client().fetch(1), await main()]

    failing: list[Any] = [numbers, Client.fetch, main]
    for each in failing:
        with fail_on(each, exception=Failing), pytest.raises(Failing):
            virtual_clock.run(use())

    assert virtual_clock.run(use()) == [[0, 1], 1, 3]


def test_it_fails_runs_that_a_runner_takes_elsewhere(
    virtual_clock: VirtualClock,
) -> None:
    calls: list[object] = []

    class Elsewhere:
        def open(self) -> Any:
            return open_nothing()

        async def run(self, call: Any) -> Any:
            fn = pickle.loads(cloudpickle.dumps(call.fn))
            calls.append(fn)
            return fn(*call.args)

    with fail_on(double, attempts=[1]) as failures:
        flow(lambda: double.submit(1), task_runner=Elsewhere())()
        flow(lambda: double.submit(1), task_runner=ThreadPoolTaskRunner(1))()

    assert failures.count == 2
    assert [type(fn) for fn in calls] == [type(double.fn)]  # the function alone


class open_nothing:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


# -- what they raise ---------------------------------------------------------------


def test_each_attempt_raises_an_exception_of_its_own() -> None:
    error = OSError(2, "gone")
    seen: list[BaseException | None] = []

    with fail_on(double, exception=error), Runtime():
        for future in double.map([1, 2]):
            future.wait()
            with pytest.raises(OSError, match="gone") as caught:
                future.result()
            seen.append(caught.value)

    assert seen[0] is not seen[1]
    assert error not in seen


@pytest.mark.parametrize(
    "exception", [Failing, lambda: Failing("made")], ids=["class", "function"]
)
def test_an_exception_may_be_made_for_each_attempt(exception: Any) -> None:
    with fail_on(double, exception=exception), pytest.raises(Failing):
        double(1)


def test_one_that_crashes_a_run_may_be_raised_too() -> None:
    with fail_on(triple, exception=SystemExit(3)), Runtime():
        assert triple.submit(1, return_state=True).is_crashed()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        pytest.param({"attempts": 2}, TypeError, r"attempts=\[2\].*range\(1, 3\)", id="a-number"),
        pytest.param({"attempts": []}, ValueError, "first attempt is 1", id="none"),
        pytest.param({"attempts": [0]}, ValueError, "first attempt is 1", id="zero"),
        pytest.param({"attempts": ["1"]}, TypeError, "whole numbers", id="texts"),
        pytest.param({"exception": "down"}, TypeError, "give it an exception", id="a-text"),
        pytest.param({"exception": Down("h", 1)}, TypeError, "exception=lambda: Down", id="no-copies"),
        pytest.param({"exception": Down}, TypeError, "missing 2 required", id="wants-more"),
        pytest.param({"exception": int}, TypeError, "made 0, which is no exc", id="no-exception"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_the_block(options, error, text) -> None:
    with pytest.raises(error, match=text), fail_on(double, **options):
        pytest.fail("the block began")


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no task and no flow"), fail_on(double.fn):
        pytest.fail("the block began")


def test_a_function_that_makes_no_exception_fails_the_attempt() -> None:
    with (
        fail_on(double, exception=lambda: "down"),  # type: ignore[return-value]  # pyright: ignore[reportArgumentType]
        pytest.raises(TypeError, match="made 'down', which is no exception"),
    ):
        double(1)


# -- no retries --------------------------------------------------------------------


def test_without_retries_the_first_failure_is_final() -> None:
    with fail_on(double) as failures, no_retries(), pytest.raises(InjectedFailure):
        double(1)

    assert failures.count == 1


def test_runs_of_every_kind_are_not_retried(virtual_clock: VirtualClock) -> None:
    async def main() -> None:
        async with Runtime():
            for run in (
                lambda: slow(1),
                lambda: slow.submit(1).aresult(),
                lambda: double.submit(1).aresult(),
                lambda: double.acall(1),
            ):
                with pytest.raises(InjectedFailure):
                    await run()

    with no_retries(), fail_on(slow) as slowly, fail_on(double) as doubly:
        virtual_clock.run(main())

    assert (slowly.count, doubly.count) == (2, 2)
    assert virtual_clock.now < 1


def test_nor_are_flows_and_what_they_submit() -> None:
    bodies: list[int] = []

    @flow(retries=3)
    def main() -> None:
        bodies.append(1)
        double.submit(1).value()

    with no_retries(), fail_on(double) as failures, pytest.raises(InjectedFailure):
        main()

    assert (len(bodies), failures.count) == (1, 1)


def test_runs_are_retried_again_behind_the_block() -> None:
    with no_retries():
        pass

    with fail_on(double, attempts=[1]):
        assert double(1) == 2


def test_code_of_other_contexts_is_retried_as_ever() -> None:
    seen: list[int] = []

    def use() -> None:
        seen.append(double(1))

    with no_retries(), fail_on(double, attempts=[1]):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()

    assert seen == [2]
