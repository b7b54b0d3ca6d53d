"""A future, or a list of them, as an argument that wants the value."""

from __future__ import annotations

from typing import assert_type

from headrace import allow_failure, flow, ref, task, unmapped


@task
def add(x: int, y: int) -> int:
    return x + y


@task
async def total(numbers: list[int]) -> int:
    return sum(numbers)


@flow
async def sums() -> None:
    three = add.submit(1, 2)
    assert_type(ref(three), int)
    assert_type(ref(await three), int)
    await add.submit(ref(three), 4)

    many = add.map([1, 2], three)
    assert_type(ref(many), list[int])
    assert_type(ref([three, three]), list[int])
    assert_type(ref([await three]), list[int])
    await total.submit(ref(many))

    assert_type(ref(allow_failure(three)), int)
    assert_type(ref(unmapped(await three)), int)
    assert_type(ref(allow_failure(many)), list[int])
    await total.submit(ref(allow_failure(many)))
