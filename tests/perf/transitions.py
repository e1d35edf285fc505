"""The state transitions of an execution, from its definition and the call log.

The local cloud's history has nothing of what happens inside a Parallel, but the call log has every invocation with its state.
So the definition is walked, and wherever it branches, the way is taken that leads to an invocation not yet accounted for.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any


class Astray(Exception):
    """The definition and the log do not fit together."""


def entered(definition: dict[str, Any], calls: Sequence[dict[str, Any]]) -> Counter[str]:
    """How often each state was entered; another attempt of a Task counts as AWS counts it, as a transition [facts 85]."""
    invocations = [call for call in calls if call["action"] == "lambda:Invoke" and call.get("state")]
    left: dict[str, deque[dict[str, Any]]] = {}
    for call in sorted(invocations, key=lambda call: float(call["t"])):
        left.setdefault(call["state"], deque()).append(call)
    seen: Counter[str] = Counter()
    _walk(definition, left, seen)
    over = [name for name, calls_left in left.items() if calls_left]
    if over:
        raise Astray(f"no way through the definition leads to these invocations: {', '.join(sorted(over))}")
    return seen


def of_branch(definition: dict[str, Any], state: str, seen: Counter[str]) -> int:
    """How many of these transitions are in the branch of a Parallel that has a state."""
    branches = (branch["States"] for outer in definition["States"].values() for branch in outer.get("Branches", []))
    inside = next(states for states in branches if state in states)
    return sum(times for name, times in seen.items() if name in inside)


def _walk(machine: dict[str, Any], left: dict[str, deque[dict[str, Any]]], seen: Counter[str]) -> None:
    states, name = machine["States"], machine["StartAt"]
    while name:
        state = states[name]
        seen[name] += 1
        match state["Type"]:
            case "Task":
                name = _task(states, name, left, seen)
            case "Choice":
                ways = [choice["Next"] for choice in state["Choices"]] + ([state["Default"]] if "Default" in state else [])
                name = next((way for way in ways if _leads(states, way, left)), ways[-1])
            case "Parallel":
                for branch in state["Branches"]:
                    _walk(branch, left, seen)
                name = state.get("Next")
            case _:
                name = state.get("Next")


def _task(states: dict[str, Any], name: str, left: dict[str, deque[dict[str, Any]]], seen: Counter[str]) -> str | None:
    state, attempts = states[name], left.get(name)
    if not attempts:
        raise Astray(f"the definition leads to {name}, which was not invoked (again)")
    last = attempts.popleft()
    while last["error"] and attempts:
        last = attempts.popleft()
        seen[name] += 1
    if not last["error"]:
        return _silence(states, name, left) if "waitForTaskToken" in state["Resource"] else state.get("Next")
    for catcher in state.get("Catch", []):
        if last["error"] in catcher["ErrorEquals"] or "States.ALL" in catcher["ErrorEquals"]:
            return str(catcher["Next"])
    raise Astray(f"{name} failed with {last['error']}, which nothing catches")


def _silence(states: dict[str, Any], name: str, left: dict[str, deque[dict[str, Any]]]) -> str | None:
    """Where a Task leads that waited for its token. The log does not say whether that came in time; but where a time-out
    leads back to the Task, and it was invoked again, it timed out."""
    state = states[name]
    timed_out = next((str(catcher["Next"]) for catcher in state["Catch"] if catcher["ErrorEquals"] == ["States.Timeout"]), None)
    if timed_out is None or not _reaches(states, timed_out, name):
        raise Astray(f"the log does not say how {name} ended: its answer comes by token")
    return timed_out if left[name] else state.get("Next")


def _reaches(states: dict[str, Any], name: str, wanted: str) -> bool:
    """Whether one Choice or none leads from a state to another."""
    ways = [choice["Next"] for choice in states[name].get("Choices", [])] + [states[name].get("Default")]
    return name == wanted or wanted in ways


def _leads(states: dict[str, Any], name: str, left: dict[str, deque[dict[str, Any]]], passed: frozenset[str] = frozenset()) -> bool:
    """Whether an invocation that is still left is the next one on this way."""
    if name in passed:
        return False
    state, passed = states[name], passed | {name}
    match state["Type"]:
        case "Task":
            return bool(left.get(name))
        case "Choice":
            return any(_leads(states, way, left, passed) for way in [choice["Next"] for choice in state["Choices"]] + [state.get("Default")] if way)
        case "Parallel":
            return any(_leads(branch["States"], branch["StartAt"], left) for branch in state["Branches"])
    return bool(state.get("Next")) and _leads(states, state["Next"], left, passed)


def by_history(events: Sequence[dict[str, Any]]) -> Counter[str]:
    """How often each state was entered, by a history. The local cloud's has those outside of any Parallel, without retries."""
    return Counter(event["stateEnteredEventDetails"]["name"] for event in events if event["type"].endswith("StateEntered"))
