"""Hooks: functions of the user that are told of the states of a run."""
