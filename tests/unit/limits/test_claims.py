"""Tests for places that are taken together, in the order of asking."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.limits.adaptive import Adaptive
from headrace.limits.claims import Claim
from headrace.limits.pools import Demand, Pool
from headrace.limits.rates import Rate
from headrace.testing import VirtualTimeLoop


def pool_of(places: int | None, rate: Rate | None = None) -> Pool:
    return Pool("it", places, rate, 1)


def claim_of(*demands: Demand, told: list[Any] | None = None) -> Claim:
    claim: list[Claim] = []
    seen = [] if told is None else told
    claim.append(Claim(demands, None, lambda: seen.append(claim[0])))
    return claim[0]


def test_places_are_taken_until_there_are_none() -> None:
    pool = pool_of(2)

    entered = [claim_of((pool, 1)).enter() for _ in range(3)]

    assert entered == [True, True, False]
    assert pool.used == 2


def test_a_place_given_back_goes_to_who_came_first() -> None:
    pool, told = pool_of(1), []
    holder = claim_of((pool, 1))
    holder.enter()
    first, second = claim_of((pool, 1), told=told), claim_of((pool, 1), told=told)
    first.enter()
    second.enter()

    holder.leave()

    assert told == [first]
    assert (first.is_held, second.is_held) == (True, False)


def test_a_small_claim_does_not_overtake_a_large_one() -> None:
    pool = pool_of(3)
    holder = claim_of((pool, 2))
    holder.enter()

    large, small = claim_of((pool, 3)), claim_of((pool, 1))
    large.enter()

    assert not small.enter()
    holder.leave()
    assert (large.is_held, small.is_held) == (True, False)


def test_of_two_pools_none_is_held_while_the_other_is_waited_for() -> None:
    one, other = pool_of(1), pool_of(1)
    holder = claim_of((other, 1))
    holder.enter()

    both = claim_of((one, 1), (other, 1))

    assert not both.enter()
    assert one.used == 0
    holder.leave()
    assert both.is_held
    assert (one.used, other.used) == (1, 1)


def test_one_pool_asked_for_twice_is_taken_once() -> None:
    pool = pool_of(2)

    assert claim_of((pool, 1), (pool, 2)).enter()
    assert pool.used == 2


def test_who_leaves_the_queue_lets_the_next_one_pass() -> None:
    pool = pool_of(3)
    holder = claim_of((pool, 2))
    holder.enter()
    large, small = claim_of((pool, 3)), claim_of((pool, 1))
    large.enter()
    small.enter()

    large.leave()

    assert small.is_held


def test_what_is_lent_is_used_by_others_and_comes_back_first() -> None:
    pool, told = pool_of(1), []
    lender = claim_of((pool, 1))
    lender.enter()
    first, second = claim_of((pool, 1)), claim_of((pool, 1))
    first.enter()
    second.enter()

    lender.lend()
    assert first.is_held
    assert not lender.take_back(lambda: told.append("back"))
    first.leave()

    assert told == ["back"]
    assert (lender.is_held, second.is_held) == (True, False)


def test_a_run_that_waits_twice_at_once_lends_once() -> None:
    pool = pool_of(1)
    lender = claim_of((pool, 1))
    lender.enter()
    other = claim_of((pool, 1))

    lender.lend()
    lender.lend()
    assert other.enter()
    assert lender.take_back(lambda: None)
    other.leave()

    assert not lender.is_held
    assert lender.take_back(lambda: None)
    assert lender.is_held


def test_who_waits_again_lets_go_on_who_waited_for_the_places() -> None:
    pool, told = pool_of(1), []
    lender = claim_of((pool, 1))
    lender.enter()
    other = claim_of((pool, 1))
    lender.lend()
    other.enter()
    assert not lender.take_back(lambda: told.append("back"))

    lender.lend()

    assert told == ["back"]
    other.leave()
    assert not lender.is_held


def test_a_run_that_has_to_stop_waits_for_no_place() -> None:
    pool = pool_of(1)
    lender = claim_of((pool, 1))
    lender.enter()
    lender.lend()
    claim_of((pool, 1)).enter()

    lender.stop()

    assert lender.take_back(lambda: None)
    assert not lender.is_held


def test_places_of_a_closed_loop_are_free_again() -> None:
    pool, loop = pool_of(1), asyncio.new_event_loop()
    lost = Claim([(pool, 1)], loop, lambda: None)
    lost.enter()
    loop.close()

    assert claim_of((pool, 1)).enter()


def test_who_waited_on_a_loop_that_was_closed_is_passed_over() -> None:
    pool, loop = pool_of(1), asyncio.new_event_loop()
    holder = claim_of((pool, 1))
    holder.enter()
    Claim([(pool, 1)], loop, lambda: loop.call_soon_threadsafe(print)).enter()
    other = claim_of((pool, 1))
    other.enter()
    loop.close()

    holder.leave()

    assert other.is_held


async def test_a_rate_lets_one_begin_after_the_other() -> None:
    pool = pool_of(None, Rate(50, 1))
    loop = asyncio.get_running_loop()
    begun: list[float] = []
    for _ in range(101):
        claim = Claim([(pool, 1)], loop, lambda: begun.append(loop.time()))
        if claim.enter():
            begun.append(loop.time())

    await asyncio.sleep(10)

    start = begun[0]
    assert [t - start for t in begun] == pytest.approx([n / 50 for n in range(101)])


async def test_a_claim_that_leaves_while_it_is_due_soon_lets_the_next_have_its_time() -> (
    None
):
    pool = pool_of(None, Rate(1, 1))
    loop = asyncio.get_running_loop()
    begun: list[float] = []
    claims = [
        Claim([(pool, 1)], loop, lambda: begun.append(loop.time())) for _ in range(3)
    ]
    for claim in claims:
        claim.enter()

    claims[1].leave()
    await asyncio.sleep(5)

    assert begun == pytest.approx([1])


def test_a_late_timer_costs_nothing_of_the_rate() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:

        async def late() -> list[int]:
            pool, counts = pool_of(None, Rate(100, 1)), []
            loop: Any = asyncio.get_running_loop()
            begun: list[int] = []
            for _ in range(100):
                Claim([(pool, 1)], loop, lambda: begun.append(1)).enter()
            for _ in range(5):
                loop._jumping.now += 0.1  # the loop was held for so long
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                counts.append(len(begun))
            return counts

        assert runner.run(late()) == pytest.approx([10, 20, 30, 40, 50], abs=1)


def test_an_adaptive_pool_learns_from_what_became_of_claims() -> None:
    pool = Pool("it", Adaptive(min=1, start=4), None, 1)
    claims = [claim_of((pool, 1)) for _ in range(4)]
    for claim in claims:
        claim.enter()

    claims[3].leave(TimeoutError(), counts=True)
    assert pool.capacity == 3
    claims[2].leave(ValueError(), counts=True)
    claims[1].leave(TimeoutError(), counts=False)

    assert pool.capacity == 3


def test_a_signal_that_fails_counts_as_none(caplog: pytest.LogCaptureFixture) -> None:
    pool = Pool("it", Adaptive(signal=lambda error: 1 / 0), None, 1)
    claim = claim_of((pool, 1))
    claim.enter()

    claim.leave(ValueError(), counts=True)

    assert pool.used == 0
    assert "the signal of the limit 'it' failed" in caplog.text


@pytest.mark.slow
def test_many_threads_never_hold_too_many_places() -> None:
    pools = [pool_of(2), pool_of(3)]
    most = [0, 0]
    lock = threading.Lock()

    def work(number: int) -> None:
        for turn in range(50):
            wanted = [pools[(number + turn) % 2]] if turn % 3 else pools
            there = threading.Event()
            claim = Claim([(pool, 1) for pool in wanted], None, there.set)
            if not claim.enter():
                assert there.wait(10)
            with lock:
                for index, pool in enumerate(pools):
                    most[index] = max(most[index], len(pool.held))
            if turn % 4 == 0:
                claim.lend()
                back = threading.Event()
                if not claim.take_back(back.set):
                    assert back.wait(10)
            claim.leave()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)

    assert not any(thread.is_alive() for thread in threads)
    assert most[0] <= 2
    assert most[1] <= 3
    assert [pool.used for pool in pools] == [0, 0]


class Queues(RuleBasedStateMachine):
    """Anything, in any order: never too many, never out of turn, nobody forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.pools = [pool_of(1), pool_of(3), pool_of(None)]
        self.told: list[Claim] = []
        self.waiting: list[Claim] = []  # in the order of asking
        self.held: list[Claim] = []
        self.lent: list[Claim] = []
        self.returning: list[Claim] = []

    def sort(self) -> None:
        """Move who was told, and see that it was the turn of each."""
        while self.told:
            claim = self.told.pop(0)
            assert claim.is_held
            if claim in self.returning:
                self.returning.remove(claim)
            else:
                self._had_its_turn(claim)
                self.waiting.remove(claim)
            self.held.append(claim)

    def _had_its_turn(self, claim: Claim) -> None:
        for other in self.waiting[: self.waiting.index(claim)]:
            assert not set(other.pools) & set(claim.pools), "it jumped the queue"

    @rule(
        places=st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from([0.5, 1])),
            min_size=1,
            max_size=3,
        )
    )
    def ask(self, places: Iterable[tuple[int, float]]) -> None:
        demands = [(self.pools[index], weight) for index, weight in places]
        claim = claim_of(*demands, told=self.told)
        self.waiting.append(claim)
        if claim.enter():
            self.told.append(claim)
        self.sort()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.held))
        self.held.remove(claim)
        claim.leave()
        self.sort()

    @precondition(lambda self: self.waiting or self.lent or self.returning)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.waiting + self.lent + self.returning))
        for where in (self.waiting, self.lent, self.returning):
            if claim in where:
                where.remove(claim)
        claim.leave()
        self.sort()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def lend(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.held))
        self.held.remove(claim)
        self.lent.append(claim)
        claim.lend()
        self.sort()

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.lent))
        self.lent.remove(claim)
        self.returning.append(claim)
        if claim.take_back(lambda: self.told.append(claim)):
            self.told.append(claim)
        self.sort()

    @precondition(lambda self: self.returning)
    @rule(data=st.data())
    def stay_away(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.returning))
        self.returning.remove(claim)
        claim.stay_away()
        claim.leave()
        self.sort()

    @invariant()
    def there_are_never_too_many(self) -> None:
        for pool in self.pools:
            taken = sum(w for claim in self.held for p, w in claim.demands if p is pool)
            assert pool.used == pytest.approx(taken)
            assert pool.capacity is None or pool.used <= pool.capacity

    @invariant()
    def nobody_waits_whose_turn_it_is(self) -> None:
        for claim in self.returning + self.waiting:
            assert not claim.is_next()


@pytest.mark.slow
class TestQueues(Queues.TestCase):
    settings = settings(max_examples=60, stateful_step_count=40)


@pytest.mark.long
@pytest.mark.timeout(300)
class TestQueuesLong(Queues.TestCase):
    settings = settings(max_examples=1500, stateful_step_count=60)
