"""Deletes the stack of the account and Region of the AWS environment, after it has said what stays.

INVARIANT: no evidence, no key and nothing on a target is touched: the stack's own resources go, and no others.
"""

from __future__ import annotations

import os
import time
from typing import Any

from botocore.exceptions import ClientError

import account
import evidence
import settings
import stack
from account import Account
from console import Stop, agreed, loud, run, say, step
from stack import Stack

# What the template retains: evidence, and the keys that it is read and checked with.
RETAINED = ("EvidenceBucket", "EvidenceKey", "CopyKey", "SigningKey", "NoticeKey")
DENIAL = "DenyPolicy"
# What people and roles may have attached. CloudFormation cannot delete a policy that is.
ATTACHABLE = (DENIAL, "ApproverPolicy")
GONE = {"", "DELETE_COMPLETE"}
BEGIN_SECONDS = 60


def main() -> None:
    name = settings.stack_name()
    here = account.of_environment()
    step(f"account {here.number}, Region {here.region}, stack {name}")
    say(f"as {here.caller}")
    now = stack.look(here, name)
    if not now.status:
        raise Stop(f"there is no stack {name} in this account and Region: STACK= and AWS_REGION name another one")
    if now.status.endswith("_IN_PROGRESS") and not now.is_new:
        raise Stop(f"the stack {name} is {now.status}: wait until that has ended, then run it again")
    resources = _resources(here, name)
    _say_what_is_locked(here, now)
    attached = {logical: names for logical in ATTACHABLE if (names := _attached_to(here, resources.get(logical)))}
    if denied := attached.get(DENIAL):
        say(f"credentials are denied through {len(denied)} roles: {', '.join(denied)}")
    _refuse_while_running(here, now)
    step("what goes")
    say(f"the stack {name}: functions, state machine, rules, alarms, topic with its subscriptions, /cordon/policy, /cordon/deployment, and the logs of all of them")
    loud("from then on no finding is answered, and no case goes on")
    if not agreed(f"Delete the stack {name} in account {here.number}, Region {here.region}?"):
        raise Stop("nothing was deleted")
    step("deleting")
    delete(here, name, set(attached))
    _say_what_stays(here, resources, attached)


def _resources(here: Account, name: str) -> dict[str, str]:
    """The physical names of what the stack has, by the names in the template."""
    pages = here("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    listed = [resource for page in pages for resource in page["StackResourceSummaries"] if resource["ResourceStatus"] != "DELETE_COMPLETE"]
    return {resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "") for resource in listed}


def _say_what_is_locked(here: Account, now: Stack) -> None:
    step("evidence that stays")
    if bucket := now.outputs.get("EvidenceBucketName"):
        _say_cases(here, bucket)
    else:
        say("the stack has no outputs, so no bucket of it is known")
    snapshots = evidence.snapshots(here)
    say(f"snapshots of cases, and copies of them, in {here.region}: {len(snapshots)}")
    for snapshot in snapshots:
        until = f"{snapshot.state} until {snapshot.locked_until:%Y-%m-%d}" if snapshot.locked_until else snapshot.state
        say(f"  {snapshot.name}  {snapshot.case}  {until}")


def _say_cases(here: Account, bucket: str) -> None:
    try:
        cases = evidence.cases(here, bucket)
    except ClientError as error:
        # A forensic account's bucket need not be readable from here, and it stays all the same.
        loud(f"the cases in s3://{bucket} cannot be listed: {error}")
        return
    say(f"s3://{bucket}: {len(cases)} cases")
    for case in cases:
        until = f"locked until {case.locked_until:%Y-%m-%d} ({case.mode})" if case.locked_until else case.mode
        say(f"  {case.name}  {case.objects} objects, {case.size:,} bytes, {until}")


def _attached_to(here: Account, policy: str | None) -> list[str]:
    """Whom a managed policy is attached to."""
    if not policy:
        return []
    pages = here("iam").get_paginator("list_entities_for_policy").paginate(PolicyArn=policy)
    kinds = (("PolicyRoles", "RoleName"), ("PolicyUsers", "UserName"), ("PolicyGroups", "GroupName"))
    return sorted(entity[name] for page in pages for kind, name in kinds for entity in page.get(kind, []))


def _refuse_while_running(here: Account, now: Stack) -> None:
    machine = now.outputs.get("StateMachineArn")
    if not machine:
        return
    pages = here("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="RUNNING")
    running = [execution["name"] for page in pages for execution in page["executions"]]
    if not running:
        return
    step("cases that are running")
    for name in running:
        say(name)
    if os.environ.get("FORCE") != "1":
        raise Stop(f"{len(running)} cases are running, and would end at their next step, without seal and notice: wait for them (`cordon list --open`), or end them (`cordon stop CASE --because WHY`), or say FORCE=1")
    loud("FORCE=1: they end at their next step. Their targets stay as they are then, and nobody is told")


def delete(here: Account, name: str, attached: set[str]) -> None:
    """Deletes the stack, but for those policies that are `attached`."""
    formation = here("cloudformation")
    _begin(formation, name)
    try:
        stack.wait(here, name, GONE, lambda: True)
    except Stop:
        # Never by force: nothing else is let go, since whatever else failed must be looked at.
        failed = sorted(logical for logical, status in _statuses(here, name).items() if status == "DELETE_FAILED")
        if not failed or not attached.issuperset(failed):
            raise
        say(f"{' and '.join(failed)} cannot be deleted while attached, and stays; deleting the rest")
        _begin(formation, name, RetainResources=failed)
        stack.wait(here, name, GONE, lambda: True)


def _begin(formation: Any, name: str, **retained: list[str]) -> None:
    """Returns once the deletion has begun or is over, so that no older status is taken for its end."""
    before = stack.last_event(formation, name)
    formation.delete_stack(StackName=name, **retained)
    begun = time.monotonic()
    while stack.last_event(formation, name) == before and time.monotonic() - begun < BEGIN_SECONDS:
        time.sleep(0.5)


def _statuses(here: Account, name: str) -> dict[str, str]:
    pages = here("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    return {resource["LogicalResourceId"]: resource["ResourceStatus"] for page in pages for resource in page["StackResourceSummaries"]}


def _say_what_stays(here: Account, resources: dict[str, str], attached: dict[str, list[str]]) -> None:
    region = f"--region {here.region}"
    step("deleted. What stays, and how to find it")
    for logical in RETAINED:
        if logical in resources:
            say(f"{logical}: {resources[logical]}")
    say("  Their aliases are gone; the bucket's policy stays. A new deployment makes a new bucket and new keys: keep the old public key for the old cases.")
    say(f"Snapshots: aws ec2 describe-snapshots {region} --owner-ids self --filters Name=tag-key,Values=cordon:case,cordon:copy")
    say("Targets stay contained. Their groups, and which interfaces are in them:")
    say(f"  aws ec2 describe-security-groups {region} --filters Name=tag-key,Values=cordon:role")
    say(f"  aws ec2 describe-network-interfaces {region} --filters Name=group-id,Values=GROUP")
    say("  What each interface had before is in cases/CASE/before.json. Claims stay under open/ and roles/ in the bucket.")
    for logical, names in attached.items():
        say(f"{logical}, since it is attached: {resources[logical]}: {', '.join(names)}")
    if DENIAL in attached:
        say("  It denies the instances that the roles' tags cordon-deny-* and cordon-deny-all-* name. To lift it: remove those tags, detach the policy, delete it.")
    say("What was uploaded for the deployment stays in SAM's bucket, under cordon/.")


if __name__ == "__main__":
    run(main)
