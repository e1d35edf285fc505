"""From the finding to the last interface cut, with every AWS answer delayed; and a boto3 program that makes the same changes.

    python -m perf.latency [--binaries FOLDER] [--delay MS] [--interfaces N ...] [--detail]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import local, waves
from .local import Account, Broken
from .paths import ROOT

# Containment alone, as far as a policy can say so: the snapshots are taken all the same.
POLICY = {"disposition": "quarantine", "memory": {"capture": False}, "credentials": {"deny": False}, "brake": {"targetsPerHour": 1000, "groupShare": 1.0}}
BUCKET = "perf-serial"
HEAD = f"{'':<11} {'':<9} {'':<24} {'AWS':>5} {'round':>6} {'':>8} {'on AWS':>8}\n{'interfaces':<11} {'in a VPC':<9} {'':<24} {'calls':>5} {'trips':>6} {'s':>8} {'calls, s':>8}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="perf.latency", description=__doc__)
    parser.add_argument("--binaries", type=Path, default=ROOT / "target" / "debug", help="where the functions' binaries are")
    parser.add_argument("--delay", type=int, default=50, metavar="MS", help="how much later every answer comes, in ms")
    parser.add_argument("--interfaces", type=int, nargs="+", default=[1, 2, 15], metavar="N")
    parser.add_argument("--detail", action="store_true", help="show what each round trip of Cordon is made of")
    given = parser.parse_args()
    try:
        with local.cloud("latency", given.binaries.resolve()) as account:
            measure(account, given.delay, given.interfaces, given.detail)
    except Broken as reason:
        print(f"nothing was measured: {reason}", file=sys.stderr)
        return 1
    return 0


def measure(account: Account, delay: int, sizes: list[int], detail: bool) -> None:
    print(f"every AWS answer {delay} ms later; {os.cpu_count()} cores, shared with the local cloud; the functions' processes have started already", flush=True)
    account.set_policy(POLICY)
    account.client("s3").create_bucket(Bucket=BUCKET)
    rehearse(account)
    print(HEAD, flush=True)
    for size in sizes:
        for where, (ours, theirs) in zip(("first", "second"), pairs(account, size), strict=True):
            account.delay(delay)
            try:
                rows = [*cordon(account, ours, size, detail), ("boto3, one by one", serial(account, theirs, size))]
            finally:
                account.delay(0)
            for name, found in rows:
                print(f"{size:<11} {where:<9} {name:<24} {found.calls:>5} {found.round_trips:>6} {found.seconds:>8.2f} {found.on_calls:>8.2f}", flush=True)
    print("s: Cordon from the finding, with Step Functions; isolate alone from its first call; boto3 from the start of its process, with its imports")


def pairs(account: Account, size: int) -> list[tuple[str, str]]:
    """The first and the second target of a VPC for Cordon, each with one for the program in a VPC of its own."""
    return list(zip(account.targets(2, size), account.targets(2, size), strict=True))


def rehearse(account: Account) -> None:
    """Starts the functions' processes: what a cold start takes is `perf.functions`' to say."""
    cordon(account, account.targets(1, 1)[0], 1, delayed=False)
    serial(account, account.targets(1, 1)[0], 1, delayed=False)


def cordon(account: Account, instance: str, size: int, detail: bool = False, delayed: bool = True) -> list[tuple[str, waves.Containment]]:
    """One incident: all of it, and what the step that cuts takes alone."""
    incident = account.incident(instance)
    # Lock-down comes later and is not counted.
    isolated = next((call["answeredAt"] for call in incident.calls if call.get("state") == "Isolate"), None)
    if isolated is None:
        raise Broken(f"the state Isolate was never entered for {instance}")
    calls = [call for call in incident.calls if call["app"] in ("triage", "isolate") and call["t"] < isolated]
    whole = checked(account, calls, instance, size, incident.sent, "cordon:role", delayed)
    if detail:
        waves.show(calls)
    step = [call for call in calls if call["app"] == "isolate"]
    alone = waves.containment(step, step[0]["t"])
    if alone is None:
        raise Broken(f"isolate made no cut on {instance}")
    return [("Cordon, from the finding", whole), ("    isolate alone", alone)]


def serial(account: Account, instance: str, size: int, delayed: bool = True) -> waves.Containment:
    about = account.about
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PYTHONPATH": str(ROOT / "tests"), "AWS_ENDPOINT_URL": about["endpoint"], "AWS_DEFAULT_REGION": about["region"],
        "AWS_ACCESS_KEY_ID": about["accessKeyId"], "AWS_SECRET_ACCESS_KEY": about["secretAccessKey"], "AWS_SDK_UA_APP_ID": "serial",
    }
    began = time.time()
    ended = subprocess.run([sys.executable, "-m", "perf.serial", instance, BUCKET], env=environment, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise Broken(f"the boto3 program failed: {ended.stderr}")
    calls = [call for call in account.calls(began) if call["app"] == "serial"]
    return checked(account, calls, instance, size, began, "serial:role", delayed)


def checked(account: Account, calls: list[dict[str, Any]], instance: str, size: int, since: float, tag: str, delayed: bool) -> waves.Containment:
    """What was measured, if it is worth anything: each interface was made untracked and cut, and each answer was delayed."""
    found = waves.containment(calls, since)
    if found is None or found.cuts != 2 * size:
        raise Broken(f"{instance} has {size} interfaces, and {found.cuts if found else 0} changes of an interface were made")
    ec2 = account.client("ec2")
    interfaces = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["NetworkInterfaces"]
    members = [[group["GroupId"] for group in interface["Groups"]] for interface in interfaces]
    if len(members) != size or any(groups != members[0] or len(groups) != 1 for groups in members):
        raise Broken(f"the interfaces of {instance} are in {members}, not each in one and the same group")
    group = ec2.describe_security_groups(GroupIds=members[0])["SecurityGroups"][0]
    if {"Key": tag, "Value": "isolation"} not in group.get("Tags", []) or group["IpPermissions"] or group["IpPermissionsEgress"]:
        raise Broken(f"{instance} ended in {group['GroupId']}, which is no isolation group without rules")
    early = {call["action"] for call in calls if delayed and call["fault"] != "delay"}
    if early:
        raise Broken(f"answers came without the delay: {', '.join(sorted(early))}")
    return found


if __name__ == "__main__":
    sys.exit(main())
