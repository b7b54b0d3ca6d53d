"""Which runs have results that are stored or cached, and what is to be done with them.

Light: what does it is imported at the first run that needs it.
"""

from __future__ import annotations

from typing import Any

__all__ = ("plan_of",)


def plan_of(run: Any) -> Any:
    """What becomes of the result of a run: a `ResultPlan`, or None for nothing more."""
    scope, spec = run.scope, run.spec
    if spec.results is None and not scope.stores_results:
        return None
    plans = scope.plans
    if plans is None:
        plans = scope.make_plans()
    plan = plans.get(spec)
    if plan is None:
        # Late: most programs store nothing.
        from headrace._engine.result_plans import ResultPlan  # noqa: PLC0415

        plan = plans.setdefault(spec, ResultPlan(scope, spec))
    return plan if plan.has_work else None
