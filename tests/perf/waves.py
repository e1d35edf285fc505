"""What the call log says of a containment: calls, sequential round trips, seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CUT = "ec2:ModifyNetworkInterfaceAttribute"

# The sequential round trips that are allowed: from the finding, and of the step that cuts, alone; where a VPC's groups must be
# made first, and where it has them. `test_budget.py` holds them, and docs/decisions/0021 says what each is for.
BUDGETS = {"first": (10, 6), "second": (7, 3)}


@dataclass(frozen=True)
class Containment:
    """What it took until the last interface was cut. What was still under way then, or came later, is not counted."""

    calls: int
    round_trips: int
    cuts: int
    seconds: float
    """From the finding, or from the start of the program."""
    on_calls: float
    """From the first call to AWS."""


def containment(calls: Sequence[dict[str, Any]], since: float) -> Containment | None:
    """None where nothing was cut."""
    until_cut = before_last_cut(calls)
    if not until_cut:
        return None
    last = max(call["answeredAt"] for call in until_cut)
    first = min(call["t"] for call in until_cut)
    cuts = sum(is_cut(call) for call in until_cut)
    return Containment(len(until_cut), len(waves(until_cut)), cuts, last - since, last - first)


def before_last_cut(calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every call that was answered when the last interface was cut; none where nothing was cut."""
    last = max((call["answeredAt"] for call in calls if is_cut(call)), default=0.0)
    return [call for call in calls if call["answeredAt"] <= last]


def is_cut(call: dict[str, Any]) -> bool:
    """Whether a call moves an interface. What shortens its connection tracking comes after the last cut, by the same action."""
    return call["action"] == CUT and call.get("about") != "tracking"


def waves(calls: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The calls by sequential round trip. A call that began after some call of the latest wave was answered may have waited
    for it, and begins the next wave: so this errs on the high side."""
    found: list[list[dict[str, Any]]] = []
    end = 0.0
    for call in sorted(calls, key=lambda call: (float(call["t"]), float(call["answeredAt"]))):
        if not found or call["t"] >= end:
            found.append([])
            end = call["answeredAt"]
        found[-1].append(call)
        end = min(end, call["answeredAt"])
    return found


def show(calls: Sequence[dict[str, Any]]) -> None:
    """Prints what each round trip up to the last cut is made of."""
    for number, wave in enumerate(waves(before_last_cut(calls)), 1):
        named = Counter(f"{call['app']} {call['action']}" for call in wave)
        print(f"    {number:>2}  {', '.join(f'{name} x{count}' if count > 1 else name for name, count in named.items())}", flush=True)
