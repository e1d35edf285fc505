"""When the last of many targets is contained, if EC2 gives no more calls than its buckets hold.

The calls that cut take from the bucket for ModifyNetworkInterfaceAttribute alone, which is a hundred calls and then five each
second. Everything else that containing takes has larger buckets, or is called less often.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloud.throttling import BUCKETS

BURST, REFILL = BUCKETS["ModifyNetworkInterfaceAttribute"]
# Into the conversion group, and out of it. The shortening of connection tracking asks for a third, and goes without.
CALLS_TO_CUT, CALLS_AFTER = 2, 1


@dataclass(frozen=True)
class Bounds:
    """Seconds from the first call to the last cut."""

    soonest: float
    """Every token goes to a cut."""
    latest: float
    """Every call that comes after a cut has taken its token before the last cut."""


def last_cut(targets: int, interfaces: int, burst: float = BURST, refill: float = REFILL) -> Bounds:
    """For so many targets with so many interfaces each, at once. Waiting for turns and answers comes on top."""
    each = targets * interfaces

    def wait(calls: int) -> float:
        return max(0.0, (calls * each - burst) / refill)

    return Bounds(wait(CALLS_TO_CUT), wait(CALLS_TO_CUT + CALLS_AFTER))
