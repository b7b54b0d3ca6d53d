"""A runtime can be entered again once it has been left, as test clients do."""

from __future__ import annotations

import pytest

from headrace import Runtime, task


@task
def double(x: int) -> int:
    return 2 * x


def test_a_runtime_that_was_left_serves_another_block() -> None:
    runtime = Runtime()
    with runtime:
        first = double.submit(1)

    with runtime:
        second = double.submit(2)

    assert (first.result(), second.result()) == (2, 4)


async def test_a_runtime_can_be_left_on_one_loop_and_entered_in_plain_code() -> None:
    runtime = Runtime()
    async with runtime:
        first = await double.submit(1)

    with runtime:
        second = double.submit(2)

    assert (await first, second.result()) == (2, 4)


def test_a_runtime_cannot_be_entered_twice_at_a_time() -> None:
    runtime = Runtime()

    with runtime, pytest.raises(RuntimeError, match="entered already") as caught:
        runtime.__enter__()

    assert "runtime.use()" in str(caught.value)


async def test_a_runtime_entered_again_takes_the_settings_of_that_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = Runtime()
    async with runtime:
        double.submit(1)
    monkeypatch.setenv("HEADRACE_MAX_THREADS", "1")

    async with runtime:
        await double.map(range(10)).aresult()
        threads = runtime.stats()["threads"]

    assert threads == 1
