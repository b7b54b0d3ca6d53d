"""Which runs have results that are stored or cached, and what is to be done with them.

Light: what does it is imported at the first run that needs it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from headrace._engine.outcomes import Outcome
from headrace.states import StateType

__all__ = ("plan_of",)

_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED


def plan_of(run: Any) -> Any:
    """What becomes of the result of a run: a `ResultPlan`, or None for nothing more.

    Raises nothing: where settings make no plan, runs fail with the reason.
    """
    scope, spec = run.scope, run.spec
    if spec.results is None and not scope.stores_results:
        return None
    plans = scope.plans
    if plans is None:
        plans = scope.make_plans()
    plan = plans.get(spec)
    if plan is None:
        # Late: most programs store nothing.
        from headrace._engine.results.plans import ResultPlan  # noqa: PLC0415

        try:
            plan = plans.setdefault(spec, ResultPlan(scope, spec))
        except Exception as error:  # noqa: BLE001 - of serializers and folders of users
            return _NoPlan(error)
    return plan if plan.has_work else None


class _NoPlan:
    """Stands for a plan that cannot be made."""

    __slots__ = ("_error",)

    flights = None

    def __init__(self, error: Exception) -> None:
        self._error = error

    def at_once(self, run: Any) -> Outcome:  # noqa: ARG002 - as all
        """See `ResultPlan.at_once`: the run fails before its first attempt."""
        return _FAILED, self._error

    def known(self, run: Any) -> Generator[Any, Any, Outcome]:  # noqa: ARG002 - as all
        """See `ResultPlan.known`: likewise."""
        yield from ()
        return _FAILED, self._error

    def save(self, run: Any, outcome: Outcome) -> Outcome:  # noqa: ARG002 - as all
        """See `ResultPlan.save`: so does a flow, after it."""
        return (_FAILED, self._error) if outcome[0] is _COMPLETED else outcome
