"""What a whole case takes on the local cloud, and what that would cost on AWS.

    python -m perf.cost [--binaries FOLDER] [--delay MS]

Three incidents of the same kind, each of a target with two interfaces, two volumes, a role and memory: one whose snapshots are
completed at once, and two whose snapshots take 40 minutes as the steps see it, with the event that says so and without it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from . import local, process, template, transitions
from .local import WAIT_SCALE, Account, Broken, Incident
from .paths import ROOT

# List prices of us-east-1 in USD. Transitions: facts [85]; Lambda on arm64: AWS's price list, as in docs/performance.md.
TRANSITION = 0.025 / 1_000
GB_SECOND = 0.0000133334
REQUEST = 0.20 / 1_000_000
# S3 Standard: PUT, COPY, POST, LIST; and everything else but DELETE, which costs nothing.
PUT = 0.005 / 1_000
GET = 0.0004 / 1_000
# KMS: an ECC key, and a symmetric one.
SIGNATURE = 0.15 / 10_000
KMS = 0.03 / 10_000
NOTICE = 0.50 / 1_000_000

LONG_MINUTES = 40
# How many transitions that wait may take, where its event comes and where it does not.
MOST_TRANSITIONS = {"once": 4, "lost": 40}
READS = ("s3:Get", "s3:Head")


def main() -> int:
    parser = argparse.ArgumentParser(prog="perf.cost", description=__doc__)
    parser.add_argument("--binaries", type=Path, default=ROOT / "target" / "debug", help="where the functions' binaries are")
    parser.add_argument("--delay", type=int, default=50, metavar="MS", help="how much later the functions' answers come, in ms: about what an API of AWS takes")
    given = parser.parse_args()
    try:
        with local.cloud("cost", given.binaries.resolve()) as account:
            account.set_policy({"disposition": "quarantine"})
            quick = case(account, given.delay, seconds=0.3)
            show(f"snapshots completed at once (first case: the groups are made); answers {given.delay} ms later", account, quick)
            for events, most in MOST_TRANSITIONS.items():
                other = Account(account.ask("accounts", {}))
                other.set_policy({"disposition": "quarantine"})
                slow = case(other, given.delay, seconds=60 * LONG_MINUTES * WAIT_SCALE, events=events)
                how = "their event comes" if events == "once" else "their event is lost"
                show(f"snapshots that take {LONG_MINUTES} minutes, {how}; answers {given.delay} ms later", other, slow)
                took = transitions.of_branch(slow.definition, "WaitForSnapshot", counted(slow))
                print(f"the wait took {took} transitions in all; at most {most}", flush=True)
                if took > most:
                    raise Broken(f"the wait took {took} transitions, more than {most}")
    except (Broken, transitions.Astray) as reason:
        print(f"no cost is known: {reason}", file=sys.stderr)
        return 1
    return 0


def case(account: Account, delay: int, seconds: float, events: str = "once") -> Incident:
    account.ask("snapshots", {"seconds": seconds, "events": events})
    account.delay(delay)
    incident = account.incident(account.about["instances"]["web"])
    if not incident.output.get("asPlanned"):
        raise Broken(f"the case did not go as planned: {incident.output}")
    return incident


def show(title: str, account: Account, incident: Incident) -> None:
    seen = counted(incident)
    invocations = [call for call in incident.calls if call["action"] == "lambda:Invoke"]
    about = {function.name: function for function in template.functions()}
    running = process.functions(account.about["endpoint"], account.about["bucket"])
    print(f"\n== {title}")
    print(f"{'function':<18} {'calls':>6} {'billed ms':>10} {'GB':>6} {'CPU ms':>8} {'peak MiB':>9}   CPU and peak: of its processes, their starts included")
    gigabyte_seconds = 0.0
    for name, ms in billed(invocations).items():
        gb = about[name].memory_mib / 1024
        gigabyte_seconds += sum(ms) / 1000 * gb
        pids = running.get(name, [])
        at_work = f"{1000 * sum(map(process.cpu_seconds, pids)):>8.0f} {max(map(process.peak_mib, pids)):>9.1f}" if pids else f"{'-':>8} {'-':>9}"
        print(f"{name.removeprefix('cordon-'):<18} {len(ms):>6} {sum(ms):>10} {gb:>6.3f} {at_work}")
    loops = {name: seen[name] for name in ("MemoryCapture", "WaitForSnapshot")}
    print(f"looks: {', '.join(f'{name} {count}' for name, count in loops.items())}; each further one is 3 and 2 transitions, {3 * TRANSITION:.6f} and {2 * TRANSITION:.6f} USD")
    again = Counter(call["state"] for call in invocations if call["error"])
    print(f"attempts that failed, each one transition more: {', '.join(f'{name} {count}' for name, count in again.items()) or 'none'}")
    calls = Counter(call["action"] for call in incident.calls)
    s3 = [call for call in incident.calls if call["service"] == "s3"]
    reads = sum(call["action"].startswith(READS) for call in s3)
    parts = [
        ("state transitions", sum(seen.values()), TRANSITION, "counted"),
        ("Lambda, GB-seconds", gigabyte_seconds, GB_SECOND, "estimated: this machine's times and build"),
        ("Lambda, requests", len(invocations), REQUEST, "counted"),
        ("S3, PUT and LIST", sum(not call["action"].startswith((*READS, "s3:Delete")) for call in s3), PUT, "counted; a larger memory has more parts"),
        ("S3, GET and HEAD", reads, GET, "counted"),
        ("KMS, signatures", calls["kms:Sign"] + calls["kms:Verify"], SIGNATURE, "counted"),
        # The bucket has a key of its own, which S3 gets anew for each requester after some minutes.
        ("KMS, data keys", 2 * len({call["principal"] for call in s3}), KMS, "estimated: one to write and one to read for each requester"),
        ("SNS, notices", calls["sns:Publish"], NOTICE, "counted; without delivery"),
    ]
    print(f"{'part':<20} {'number':>10} {'USD':>10} {'share':>7}")
    whole = sum(number * price for _, number, price, _ in parts)
    for part, number, price, how in parts:
        print(f"{part:<20} {number:>10.4g} {number * price:>10.6f} {number * price / whole:>6.0%}   {how}")
    print(f"{'sum':<20} {'':>10} {whole:>10.6f}", flush=True)


def counted(incident: Incident) -> Counter[str]:
    """How often each state was entered; checked against the history as far as that goes."""
    seen = transitions.entered(incident.definition, incident.calls)
    for name, times in transitions.by_history(incident.history).items():
        # A history has no second attempts.
        if not 0 < times <= seen[name]:
            raise Broken(f"the history has {times} entries of {name}, and the walk {seen[name]}")
    return seen


def billed(invocations: list[dict[str, Any]]) -> dict[str, list[int]]:
    """What Lambda would bill for each function's invocations, in whole milliseconds each."""
    found: dict[str, list[int]] = {}
    for call in invocations:
        found.setdefault(call["function"], []).append(math.ceil(call["ms"]))
    return found


if __name__ == "__main__":
    sys.exit(main())
