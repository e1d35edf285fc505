"""The stack: how it stands, a change set that is shown before it is executed, and how the execution goes.

INVARIANT: nothing here deletes anything; undeploy.py does that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from account import Account
from console import Stop, loud, say

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
UNCHANGED = ("didn't contain changes", "No updates are to be performed")
CHANGE_SET_SECONDS = 600
# A first deployment takes some minutes; an update that has to roll back takes longer.
STACK_SECONDS = 3600
LOOK_SECONDS = 3.0


@dataclass(frozen=True)
class Stack:
    """A stack as it is now."""

    name: str
    status: str
    parameters: dict[str, str]
    outputs: dict[str, str]

    @property
    def is_new(self) -> bool:
        """Whether there are no resources yet, but at most a change set that was never executed."""
        return self.status in ("", "REVIEW_IN_PROGRESS")


@dataclass(frozen=True)
class ChangeSet:
    """What would be done."""

    arn: str
    name: str
    kind: str
    changes: list[dict[str, Any]]


def look(account: Account, name: str) -> Stack:
    """Also of a stack that does not exist: its status is empty."""
    try:
        stack = account("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            return Stack(name, "", {}, {})
        raise
    parameters = {entry["ParameterKey"]: entry.get("ParameterValue", "") for entry in stack.get("Parameters", [])}
    return Stack(name, stack["StackStatus"], parameters, {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])})


def must_be_ready(stack: Stack) -> None:
    """Refuses a stack that no change set can be made for, and says what to do about it."""
    if stack.status.endswith("_IN_PROGRESS") and not stack.is_new:
        raise Stop(f"the stack {stack.name} is {stack.status}: wait until that has ended, then run it again")
    if stack.status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        raise Stop(f"the stack {stack.name} is {stack.status}, so it was never whole or is half deleted: read its events in the console, then `make undeploy`, then run it again")
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        raise Stop(f"the stack {stack.name} is {stack.status}: let the console continue the rollback (Stack actions), then run it again")


def propose(account: Account, stack: Stack, url: str, parameters: dict[str, str], known: set[str]) -> ChangeSet | None:
    """Makes a change set. Parameters of a stack that exists keep their value unless they are given. None if nothing changes."""
    formation = account("cloudformation")
    kind, name = ("CREATE" if stack.is_new else "UPDATE"), f"cordon-{int(time.time())}"
    kept = [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(set(stack.parameters) & known - set(parameters)) if kind == "UPDATE"]
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    made = formation.create_change_set(StackName=stack.name, ChangeSetName=name, ChangeSetType=kind, TemplateURL=url, Parameters=given + kept,
                                       Capabilities=CAPABILITIES, Description="make deploy")
    begun = time.monotonic()
    while True:
        seen = formation.describe_change_set(ChangeSetName=made["Id"])
        if seen["Status"] == "CREATE_COMPLETE":
            return ChangeSet(made["Id"], name, kind, _changes(formation, made["Id"]))
        if seen["Status"] == "FAILED":
            reason = seen.get("StatusReason", "")
            if any(text in reason for text in UNCHANGED):
                return None
            raise Stop(f"AWS cannot make the change set: {reason}")
        if time.monotonic() - begun > CHANGE_SET_SECONDS:
            raise Stop(f"the change set {name} was not made within {CHANGE_SET_SECONDS} s: look at the stack {stack.name} in the console")
        time.sleep(LOOK_SECONDS / 3)


def _changes(formation: Any, arn: str) -> list[dict[str, Any]]:
    changes, token = [], {}
    while True:
        page = formation.describe_change_set(ChangeSetName=arn, **token)
        changes += [change["ResourceChange"] for change in page.get("Changes", []) if "ResourceChange" in change]
        if not page.get("NextToken"):
            return changes
        token = {"NextToken": page["NextToken"]}


def show(stack: Stack, change_set: ChangeSet, parameters: dict[str, str]) -> None:
    """Prints every change; what removes or replaces something, loudly."""
    for key, value in sorted(parameters.items()):
        old = stack.parameters.get(key)
        if old is not None and old != value:
            say(f"parameter {key}: {old or '(empty)'} -> {value or '(empty)'}")
    for change in sorted(change_set.changes, key=lambda change: (change["Action"], change["ResourceType"], change["LogicalResourceId"])):
        say(f"{change['Action']:<8}{change['ResourceType']:<36}{change['LogicalResourceId']}{_replaced(change)}")
    for change in change_set.changes:
        if _leaves(change):
            loud(f"{change['LogicalResourceId']} ({change['ResourceType']}) is {'removed' if change['Action'] == 'Remove' else 'replaced, or may be'}")


def _leaves(change: dict[str, Any]) -> bool:
    """Whether something may be gone afterwards. Versions of functions leave the stack only: running cases call them."""
    removed = change["Action"] == "Remove" and change["ResourceType"] != "AWS::Lambda::Version"
    return (removed or bool(_replaced(change))) and not change.get("PolicyAction", "").startswith("Retain")


def _replaced(change: dict[str, Any]) -> str:
    return {"True": "  REPLACED", "Conditional": "  MAY BE REPLACED"}.get(change.get("Replacement", ""), "")


def execute(account: Account, stack: Stack, change_set: ChangeSet) -> Stack:
    """Executes what was shown, and waits for it."""
    formation = account("cloudformation")
    formation.execute_change_set(ChangeSetName=change_set.arn)

    def over() -> bool:
        # For a moment the stack still has the status of the operation before.
        return formation.describe_change_set(ChangeSetName=change_set.arn)["ExecutionStatus"] in ("EXECUTE_COMPLETE", "EXECUTE_FAILED")

    return wait(account, stack.name, {"CREATE_COMPLETE", "UPDATE_COMPLETE"}, over)


def wait(account: Account, name: str, good: set[str], over: Callable[[], bool]) -> Stack:
    """Waits for the end of what the stack is doing, which is not before `over`; stops with its failed resources where that end
    is not a good one."""
    begun, last = time.monotonic(), None
    while True:
        ended = over()
        stack = look(account, name)
        if stack.status != last:
            say(f"{name}: {stack.status or 'gone'}")
            last = stack.status
        if ended and stack.status in good:
            return stack
        if ended and stack.status and not stack.is_new and not stack.status.endswith("_IN_PROGRESS"):
            raise Stop(f"the stack is {stack.status}:\n" + "\n".join(failures(account, name)))
        if time.monotonic() - begun > STACK_SECONDS:
            raise Stop(f"the stack is still {stack.status} after an hour: follow it at {account.console('cloudformation/home')}")
        time.sleep(LOOK_SECONDS if time.monotonic() - begun > LOOK_SECONDS else LOOK_SECONDS / 10)


def failures(account: Account, name: str) -> list[str]:
    """The resources that failed, with AWS's reasons, the first one first: the others were cancelled for it."""
    events = account("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    lines = [f"   {event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}" for event in events if "FAILED" in event["ResourceStatus"]]
    return list(dict.fromkeys(reversed(lines)))


def last_event(formation: Any, name: str) -> str:
    """The newest event's id; empty where there is no such stack any more."""
    try:
        events = formation.describe_stack_events(StackName=name)["StackEvents"]
    except ClientError:
        return ""
    return events[0]["EventId"] if events else ""
