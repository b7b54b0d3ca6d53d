"""Put the values of upstream runs into the inputs of a run, once for all attempts."""

from __future__ import annotations

from typing import Any

from headrace._engine.mapping import NO_KWARGS
from headrace._engine.resolve import substitute
from headrace.states import StateType

__all__ = ("put_inputs", "substitute_inputs")


def substitute_inputs(run: Any) -> None:
    """Replace futures, states and marks in the inputs of a run by their values.

    Raises:
        HeadraceError: A container could not be copied.
    """
    run.upstreams = None
    run.args = tuple([substitute(value) for value in run.args])
    if run.kwargs is not NO_KWARGS:
        run.kwargs = {name: substitute(value) for name, value in run.kwargs.items()}


def put_inputs(run: Any, scheduler: Any) -> bool:
    """`substitute_inputs` on the loop; False after ending the run as Failed (RES-14)."""
    try:
        substitute_inputs(run)
    except Exception as error:  # noqa: BLE001 - users' containers may raise anything
        outcome = (StateType.FAILED, error)
        scheduler.attempt_ended(run, outcome, may_go_on=False)
        return False
    return True
