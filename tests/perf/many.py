"""Many targets at once, with EC2's buckets of requests enforced: are all contained, and in the time that the buckets allow?

    python -m perf.many [--binaries FOLDER] [--targets N] [--interfaces K] [--at-once C]

Triage and the branch that contains are run, and no others: five hundred processes at once would measure this machine. Whole
cases under small buckets are a journey, `many.rs`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import local
from .buckets import BURST, REFILL, last_cut
from .latency import POLICY
from .local import Account, Broken
from .paths import ROOT
from .waves import CUT, is_cut

THROTTLED = "RequestLimitExceeded"
# For turns, for answers, and for the emulator, which shares the cores with all functions: what may come on top.
PATIENCE_SECONDS = 900


def main() -> int:
    parser = argparse.ArgumentParser(prog="perf.many", description=__doc__)
    parser.add_argument("--binaries", type=Path, default=ROOT / "target" / "debug", help="where the functions' binaries are")
    parser.add_argument("--targets", type=int, default=100, metavar="N")
    parser.add_argument("--interfaces", type=int, default=1, metavar="K")
    parser.add_argument("--at-once", type=int, metavar="C", help="another number than the template's of targets that are cut at the same time; 0 for any")
    given = parser.parse_args()
    try:
        # Retries and turns take as long as they do on AWS.
        with local.cloud("many", given.binaries.resolve(), wait_scale=1.0) as account:
            measure(account, given.targets, given.interfaces, given.at_once)
    except Broken as reason:
        print(f"nothing was measured: {reason}", file=sys.stderr)
        return 1
    return 0


def measure(account: Account, targets: int, interfaces: int, at_once: int | None) -> None:
    account.set_policy(POLICY)
    if at_once is not None:
        change = account.client("lambda")
        change.delete_function_concurrency(FunctionName="cordon-isolate") if at_once == 0 else change.put_function_concurrency(FunctionName="cordon-isolate", ReservedConcurrentExecutions=at_once)
    contain_alone(account)
    instances = account.targets(targets, interfaces)
    account.ask("buckets", {"enforced": True})
    began = time.time()
    executions = start(account, instances)
    cuts = contained(account, began, targets * interfaces)
    ended = [wait(account, execution) for execution in executions]
    account.ask("buckets", {"enforced": False})
    check(account, instances, interfaces, ended)
    report(logged(account, began), began, cuts, targets, interfaces)


def contain_alone(account: Account) -> None:
    """Leaves of the definition what comes before the cut, and the branch that cuts, with all of its retriers."""
    sfn, machine = account.client("stepfunctions"), account.about["stateMachineArn"]
    definition = json.loads(sfn.describe_state_machine(stateMachineArn=machine)["definition"])
    both = definition["States"]["ContainAndFreeze"]
    contain = next(branch for branch in both["Branches"] if "Isolate" in branch["States"])
    output = {"containment": "{% $states.result[0].status %}"}
    definition["States"]["ContainAndFreeze"] = {"Type": "Parallel", "Branches": [contain], "Output": output, "End": True}
    sfn.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))


def start(account: Account, instances: list[str]) -> list[str]:
    """One execution for each, by hand: the brake holds back what nobody asked for."""
    machine = account.about["stateMachineArn"]

    def one(instance: str) -> str:
        given = json.dumps({"instanceId": instance, "reason": "many at once"})
        return str(account.client("stepfunctions").start_execution(stateMachineArn=machine, input=given)["executionArn"])

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, instances))


def logged(account: Account, began: float) -> list[dict[str, Any]]:
    """The account's calls, read from the log: to ask for them again and again would hold up those whom we measure."""
    lines = Path(account.about["callLog"]).read_text().splitlines()
    calls = (json.loads(line) for line in lines)
    return [call for call in calls if call["account"] == account.about["accountId"] and call["t"] >= began]


def contained(account: Account, began: float, interfaces: int) -> list[float]:
    """When each interface was cut: every second move of one is its cut, and the last move of all is the last cut."""

    def moves() -> list[float] | None:
        found = [call["answeredAt"] for call in logged(account, began) if is_cut(call) and call["status"] == 200]
        return found if len(found) >= 2 * interfaces else None

    return sorted(local.until("every interface is moved twice", moves, PATIENCE_SECONDS, every=2.0))


def wait(account: Account, execution: str) -> dict[str, Any]:
    sfn = account.client("stepfunctions")

    def ended() -> dict[str, Any] | None:
        look = sfn.describe_execution(executionArn=execution)
        return None if look["status"] == "RUNNING" else dict(look)

    return dict(local.until(f"{execution} ends", ended, PATIENCE_SECONDS, every=1.0))


def check(account: Account, instances: list[str], interfaces: int, ended: list[dict[str, Any]]) -> None:
    """All contained, as they say and as EC2 says; nothing is in the conversion group; no execution is lost."""
    said = Counter((look["status"], json.loads(look.get("output") or "{}").get("containment")) for look in ended)
    if set(said) != {("SUCCEEDED", "contained")}:
        raise Broken(f"the executions ended like this: {dict(said)}")
    ec2 = account.client("ec2")
    groups = {group["GroupId"]: group for page in ec2.get_paginator("describe_security_groups").paginate() for group in page["SecurityGroups"]}
    found = [interface for page in ec2.get_paginator("describe_network_interfaces").paginate(Filters=[{"Name": "attachment.instance-id", "Values": instances}]) for interface in page["NetworkInterfaces"]]
    if len(found) != len(instances) * interfaces:
        raise Broken(f"{len(found)} interfaces were found")
    for interface in found:
        worn = [groups[group["GroupId"]] for group in interface["Groups"]]
        isolated = len(worn) == 1 and {"Key": "cordon:role", "Value": "isolation"} in worn[0].get("Tags", [])
        if not isolated or worn[0]["IpPermissions"] or worn[0]["IpPermissionsEgress"]:
            raise Broken(f"{interface['NetworkInterfaceId']} ended in {[group['GroupName'] for group in worn]}")


def report(calls: list[dict[str, Any]], began: float, moves: list[float], targets: int, interfaces: int) -> None:
    first = min(call["t"] for call in calls if is_cut(call))
    bounds = last_cut(targets, interfaces)
    ours = [call for call in calls if call["app"]]
    cutting = [call for call in ours if call["action"] == CUT]
    refused = Counter(f"{call['app']} {call['action']}" for call in ours if call["error"] == THROTTLED)
    turns = sum(call["error"] == "Lambda.TooManyRequestsException" for call in calls if call["action"] == "lambda:Invoke")
    tracking = sum(call.get("about") == "tracking" and call["status"] == 200 for call in cutting if call["answeredAt"] <= moves[-1])
    print(f"{targets} targets with {interfaces} interfaces, {os.cpu_count()} cores shared with the local cloud; bucket {BURST:.0f} and {REFILL:.0f} a second")
    print(f"all contained; last cut {moves[-1] - first:.1f} s after the first move, {moves[-1] - began:.1f} s after the first request")
    print(f"by the buckets alone: {bounds.soonest:.1f} to {bounds.latest:.1f} s; with the {tracking} calls after cuts that had a token: {max(0.0, (len(moves) + tracking - BURST) / REFILL):.1f} s")
    print(f"calls that move interfaces or shorten tracking: {len(cutting)}, {sum(call['error'] == THROTTLED for call in cutting)} of them refused; {len(ours)} calls in all; {turns} times a turn was waited for")
    print("refused:", ", ".join(f"{name} x{count}" for name, count in refused.most_common()) or "nothing")


if __name__ == "__main__":
    sys.exit(main())
