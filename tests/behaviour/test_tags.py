"""Tags of tasks, and of blocks around the calls."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from headrace import Runtime, flow, get_run_context, tags, task
from headrace.context import TagsContext

BOUND = 5  # seconds; nothing here comes near


def tags_here() -> set[str]:
    """Those of the run that the present code belongs to."""
    context: Any = get_run_context()
    found: set[str] = context.task_run.tags
    return found


@task(tags=["own"])
def tagged() -> set[str]:
    return tags_here()


# -- what a run is tagged with ---------------------------------------------------------


@pytest.mark.rule("TAG-01")
def test_a_run_has_the_tags_of_its_task_and_of_the_blocks_around(
    every_door: Any,
) -> None:
    with tags("a"), tags("b", "c"):
        found = every_door(tags_here, tags=["own", "a"])

    assert found == {"own", "a", "b", "c"}


@pytest.mark.rule("TAG-01")
def test_a_run_outside_of_all_blocks_has_the_tags_of_its_task_alone(
    every_door: Any,
) -> None:
    assert every_door(tags_here, tags=["own"]) == {"own"}
    assert every_door(tags_here) == set()


@pytest.mark.rule("TAG-05", "OPT-02")
def test_other_tags_replace_those_of_the_task_and_join_those_of_the_block() -> None:
    other = tagged.with_options(tags=["other"])

    with tags("block"):
        assert other() == {"other", "block"}
    assert tagged() == {"own"}


# -- the block ---------------------------------------------------------------------------


@pytest.mark.rule("TAG-02", "CTX-08")
def test_blocks_add_up_and_leaving_one_restores_what_was() -> None:
    seen: list[object] = [TagsContext.get().current_tags]

    with tags("a", "b") as outer:
        with tags("c") as inner:
            seen.append(TagsContext.get().current_tags)
        seen.append(TagsContext.get().current_tags)
    seen.append(TagsContext.get().current_tags)

    assert type(outer) is set
    assert (outer, inner) == ({"a", "b"}, {"a", "b", "c"})
    assert seen == [set(), {"a", "b", "c"}, {"a", "b"}, set()]


@pytest.mark.rule("TAG-02")
def test_leaving_a_block_by_an_exception_restores_what_was() -> None:
    with pytest.raises(ValueError, match="boom"), tags("a"):
        raise ValueError("boom")

    assert TagsContext.get().current_tags == set()


@pytest.mark.rule("TAG-02")
def test_changing_the_set_that_a_block_gives_changes_no_tags() -> None:
    with tags("a") as current:
        current.add("b")

        assert tagged() == {"own", "a"}


@pytest.mark.rule("TAG-02")
def test_a_tag_that_is_no_text_is_refused_with_advice() -> None:
    wrong: Any = ["a", "b"]

    with pytest.raises(TypeError, match=r"Write tags\('a', 'b'\)"), tags(wrong):
        pass


# -- flows ---------------------------------------------------------------------------------


@pytest.mark.rule("TAG-03")
@pytest.mark.parametrize("kind", ["plain", "coroutine", "acalled"])
def test_a_block_around_a_flow_call_tags_the_flow_run_and_every_run_in_it(
    kind: str,
) -> None:
    found: list[set[str]] = []

    def body() -> None:
        context: Any = get_run_context()
        found.extend([context.flow_run.tags, tagged(), tagged.submit().value()])

    async def coroutine_body() -> None:
        context: Any = get_run_context()
        future = await tagged.submit()
        found.extend([context.flow_run.tags, tagged(), await future])

    with tags("around"):
        if kind == "plain":
            flow(body)()
        elif kind == "coroutine":
            asyncio.run(flow(coroutine_body)())
        else:
            asyncio.run(flow(body).acall())

    assert found == [{"around"}, {"own", "around"}, {"own", "around"}]


@pytest.mark.rule("TAG-03")
def test_a_flow_within_a_flow_has_the_tags_around_both_calls() -> None:
    @flow
    def inner() -> set[str]:
        context: Any = get_run_context()
        return context.flow_run.tags | tagged()

    @flow
    def outer() -> set[str]:
        with tags("inner"):
            return inner()

    with tags("outer"):
        assert outer() == {"own", "outer", "inner"}


# -- when --------------------------------------------------------------------------------


@pytest.mark.rule("TAG-04")
def test_a_run_submitted_in_a_block_keeps_its_tags_and_later_ones_have_none() -> None:
    go = threading.Event()

    @task
    def wait() -> set[str]:
        assert go.wait(BOUND)
        return tags_here()

    with Runtime():
        with tags("early"):
            early = wait.submit()
        late = wait.submit()
        go.set()

        assert early.result() == {"early"}
        assert late.result() == set()
    assert early.task_run.tags == {"early"}


@pytest.mark.rule("TAG-04")
async def test_a_run_that_is_retried_keeps_its_tags() -> None:
    seen: list[set[str]] = []

    @task(retries=1, retry_delay_seconds=60)
    async def flaky() -> None:
        seen.append(tags_here())
        if len(seen) == 1:
            raise ValueError

    async with Runtime():
        with tags("a"):
            future = await flaky.submit()
        await future

    assert seen == [{"a"}, {"a"}]


@pytest.mark.rule("TAG-01", "TAG-04")
async def test_a_map_over_a_pending_future_has_the_tags_of_the_map_call() -> None:
    @task
    async def numbers() -> list[int]:
        await asyncio.sleep(1)
        return [1, 2]

    @task
    async def each(number: int) -> set[str]:
        return tags_here()

    async with Runtime():
        pending = await numbers.submit()
        with tags("a"):
            mapped = each.map(pending)
        with tags("b"):
            futures = await mapped

        assert [await future for future in futures] == [{"a"}, {"a"}]


@pytest.mark.rule("TAG-06")
def test_in_a_body_the_tags_of_the_caller_are_seen_and_may_be_added_to(
    every_door: Any,
) -> None:
    @task
    def inner() -> set[str]:
        return tags_here()

    def body() -> list[set[str]]:
        with tags() as current:
            seen = current
        with tags("b"):
            return [seen, inner()]

    with tags("a"):
        assert every_door(body) == [{"a"}, {"a", "b"}]
        assert TagsContext.get().current_tags == {"a"}


@pytest.mark.rule("TAG-06", "CTX-04")
def test_a_run_in_one_thread_does_not_see_the_tags_of_another() -> None:
    together = threading.Barrier(2, timeout=BOUND)

    @task
    def meet() -> set[str]:
        together.wait()
        return tags_here()

    with Runtime():
        with tags("a"):
            first = meet.submit()
        with tags("b"):
            second = meet.submit()

        assert [first.result(), second.result()] == [{"a"}, {"b"}]
