from __future__ import annotations

from typing import Any

from headrace.events import StateChanged
from headrace.states import Completed, Pending, Running
from headrace.testing import Recorder

RUN: Any = "load-0"


def test_a_recorder_keeps_each_event_and_names_the_states_entered() -> None:
    states = [Pending(), Running(), Completed()]
    events = [
        StateChanged(RUN, before, after)
        for before, after in zip([None, *states], states, strict=False)
    ]
    recorder = Recorder()

    for event in events:
        recorder.on_event(event)

    assert recorder.events == events
    assert recorder.path == ["Pending", "Running", "Completed"]
