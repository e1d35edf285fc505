"""Time as the steps see it: a wait that is shortened here has its whole length for whoever reads the time after it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from .harness import Account


@contextmanager
def waits_are_shortened(endpoint: str) -> Iterator[None]:
    def scale(factor: float) -> None:
        body = json.dumps({"stepfunctions._SFN_WAIT_SCALE": factor}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/_ministack/config", body, {"content-type": "application/json"})).close()

    scale(0.001)
    try:
        yield
    finally:
        scale(1)


def _entered(topic: str, following: str | None = None) -> dict[str, Any]:
    state = {
        "Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Arguments": {"TopicArn": topic, "Message": "x"},
        "Output": {"at": "{% $states.context.State.EnteredTime %}", "before": "{% $states.input.at %}"},
    }
    return {**state, "Next": following} if following else {**state, "End": True}


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_a_shortened_wait_has_its_whole_length_for_the_states_after_it(account: Account, endpoint: str) -> None:
    topic = account("sns").create_topic(Name="time")["TopicArn"]
    branches = [
        {"StartAt": "Long", "States": {"Long": {"Type": "Wait", "Seconds": 300, "Next": "AfterLong"}, "AfterLong": _entered(topic)}},
        {"StartAt": "Short", "States": {"Short": _entered(topic)}},
    ]
    definition = {
        "StartAt": "First",
        "States": {
            "First": {**_entered(topic, "Both"), "Output": {"at": "{% $states.context.State.EnteredTime %}"}},
            "Both": {"Type": "Parallel", "Branches": branches, "Output": {"at": "{% $states.result[0].at %}", "long": "{% $states.result[0] %}", "short": "{% $states.result[1] %}"}, "Next": "Last"},
            "Last": {**_entered(topic), "Output": {"at": "{% $states.context.State.EnteredTime %}", "rest": "{% $states.input %}"}},
        },
    }
    began = time.monotonic()
    with waits_are_shortened(endpoint):
        ended = account.execution(definition)
    assert ended["status"] == "SUCCEEDED", ended
    took = time.monotonic() - began
    output = json.loads(ended["output"])
    first, long, short, last = (_at(text) for text in (output["rest"]["long"]["before"], output["rest"]["long"]["at"], output["rest"]["short"]["at"], output["at"]))
    assert 299 <= (long - first).total_seconds() <= 301 + took, "the wait must have its whole length in its own branch"
    assert (short - first).total_seconds() <= took, "the other branch has not waited"
    assert last >= long, "after both, the later time counts"
