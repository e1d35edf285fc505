"""What the benchmarks count, they count right."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from . import buckets, crowd, serial, template, transitions, waves
from .cost import billed
from .paths import ROOT

INCIDENT = json.loads((ROOT / "statemachine" / "incident.asl.json").read_text())


def call(began: float, answered: float, action: str = "s3:PutObject", **more: Any) -> dict[str, Any]:
    return {"t": began, "answeredAt": answered, "action": action, "app": "isolate", **more}


def invoked(*states: str) -> list[dict[str, Any]]:
    """The log of an execution that invoked these, in this order; `!` after a name means that it failed."""
    return [{"t": number, "action": "lambda:Invoke", "state": name.rstrip("!"), "error": "Transient" if name.endswith("!") else None} for number, name in enumerate(states)]


@pytest.mark.parametrize(
    ("calls", "trips"),
    [
        ([], 0),
        ([(0, 5)], 1),
        ([(0, 5), (1, 6), (2, 7)], 1),  # all at once
        ([(0, 5), (5, 9), (9, 12)], 3),  # one by one
        ([(0, 5), (1, 9), (6, 10), (9.5, 12)], 2),  # the fourth began before the third was answered
        ([(0, 5), (1, 9), (6, 7), (8, 12)], 3),
        ([(6, 7), (0, 5)], 2),  # the log is by the time of the answer
    ],
)
def test_calls_that_waited_for_another_are_counted_as_round_trips(calls: list[tuple[float, float]], trips: int) -> None:
    assert len(waves.waves([call(*times) for times in calls])) == trips


def test_a_containment_ends_with_the_last_cut_and_nothing_after_it_counts() -> None:
    calls = [call(10, 11), call(11, 12, waves.CUT), call(12, 14, waves.CUT), call(13, 15), call(14, 16)]
    found = waves.containment(calls, since=8)
    assert found == waves.Containment(calls=3, round_trips=3, cuts=2, seconds=6, on_calls=4)
    assert waves.containment([call(10, 11)], since=8) is None


def test_the_transitions_of_a_case_are_counted_through_its_branches_and_loops() -> None:
    usual = ("Triage", "Isolate", "Protect", "DenyCredentials", "Snapshot", "NotifyOpened", "MemoryCapture", "MemoryCapture", "Lockdown", "DenyAllCredentials", "WaitForSnapshot", "Context", "Seal", "Close", "NotifyClosed")
    seen = transitions.entered(INCIDENT, invoked(*usual))
    assert {name: count for name, count in seen.items() if count > 1} == {"MemoryCapture": 2, "MemoryDone?": 2}
    assert {"ContainAndFreeze", "Preserve", "PauseForMemory", "Snapshots?", "WhatNow?", "Closed"} <= set(seen)
    assert not {"NoMemory", "WithholdCut", "LookAgain?", "RecordFailure"} & set(seen)
    longer = transitions.entered(INCIDENT, invoked(*usual, "WaitForSnapshot"))
    assert longer - seen == Counter({"WaitForSnapshot": 1, "LookAgain?": 1}), "a look for which nothing was heard"
    assert transitions.of_branch(INCIDENT, "WaitForSnapshot", longer) == 4


def test_a_retry_is_a_transition_and_a_caught_failure_goes_where_its_catch_says() -> None:
    seen = transitions.entered(INCIDENT, invoked("Triage!", "Triage", "Isolate!", "Isolate!", "CloseDoor", "Protect", "DenyCredentials", "Snapshot!", "NotifyOpened", "Lockdown", "DenyAllCredentials", "Context", "Seal", "Close", "NotifyClosed"))
    assert (seen["Triage"], seen["Isolate"], seen["CloseDoor"], seen["SnapshotFailed"], seen["NoMemory"], seen["NoSnapshots"]) == (2, 2, 1, 1, 1, 1)


@pytest.mark.parametrize("states", [("Triage", "Isolate"), ("Triage", "Unheard")])
def test_a_log_that_does_not_fit_the_definition_is_refused(states: tuple[str, ...]) -> None:
    with pytest.raises(transitions.Astray):
        transitions.entered(INCIDENT, invoked(*states))


def test_the_functions_and_what_they_may_call_are_the_template_s() -> None:
    found = {function.name: function for function in template.functions()}
    assert found["cordon-last-word"].binary == found["cordon-seal"].binary == "seal"
    assert found["cordon-seal"].memory_mib > found["cordon-isolate"].memory_mib
    assert all(function.variables.get("AWS_SDK_UA_APP_ID") for function in found.values())
    assert {"ec2:ModifyNetworkInterfaceAttribute", "kms:Sign", "s3:PutObject"} <= template.actions()


def test_each_invocation_is_billed_in_whole_milliseconds() -> None:
    log = [{"function": "a", "ms": 1.2}, {"function": "a", "ms": 3.0}, {"function": "b", "ms": 0.1}]
    assert billed(log) == {"a": [2, 3], "b": [1]}


def test_the_script_adds_just_the_rules_that_are_missing() -> None:
    assert serial.without([]) == [serial.ALL_V4, serial.ALL_V6]
    assert serial.without([serial.ALL_V4]) == [serial.ALL_V6]
    assert serial.without([{**serial.ALL_V4, **serial.ALL_V6}]) == []


@pytest.mark.parametrize(
    ("targets", "interfaces", "soonest", "latest"),
    [
        (1, 15, 0, 0),
        (33, 1, 0, 0),  # 99 calls: the burst
        (50, 1, 0, 10),
        (100, 1, 20, 40),
        (100, 2, 60, 100),
        (10_000, 1, 3980, 5980),
    ],
)
def test_the_last_of_many_is_cut_when_the_bucket_has_given_two_calls_for_each_interface(targets: int, interfaces: int, soonest: float, latest: float) -> None:
    assert buckets.last_cut(targets, interfaces) == buckets.Bounds(soonest, latest)


def test_twice_the_refill_takes_half_the_time() -> None:
    assert buckets.last_cut(100, 2, burst=0, refill=10).soonest == buckets.last_cut(100, 2, burst=0, refill=5).soonest / 2


def test_in_turns_a_crowd_is_cut_soon_and_nobody_gives_up_and_all_at_once_some_do() -> None:
    turns, any_number = crowd.Crowd(100, 4, at_once=10).run(), crowd.Crowd(100, 4, at_once=0).run()
    assert (turns.given_up, turns.doors_closed) == (0, 0)
    assert any_number.doors_closed > 10 and any_number.refused > 3 * turns.refused
    bounds = buckets.last_cut(100, 4)
    assert bounds.soonest <= turns.cut_at <= bounds.latest


def test_as_many_as_the_brake_lets_through_wait_for_nothing() -> None:
    found = crowd.Crowd(10, 2, at_once=10).run()
    assert found.refused == 0 and found.cut_at < 2
