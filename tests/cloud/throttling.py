"""EC2's limits of requests: each account has, in each Region, a bucket of tokens for each action, and a call without a token
is refused. So are lookups of CloudTrail's events. Only where it is asked for: at `/_cordon/buckets`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

# Burst, and how many tokens are added each second, as the EC2 developer guide has them (request throttling). Each action has
# a bucket of its own; those that stand here by name are not like the others of their kind. CopySnapshot
# and LockSnapshot are not among those that the guide names: they are changes like any other.
BUCKETS: dict[str, tuple[float, float]] = {
    "ModifyNetworkInterfaceAttribute": (100, 5),
    "CreateSnapshots": (100, 5),
    "CreateSnapshot": (100, 5),
    "DeleteSnapshot": (100, 5),
    "ModifySnapshotAttribute": (100, 5),
    "CreateTags": (100, 10),
    "looks, filtered or in pages": (100, 20),
    "looks at everything": (50, 10),
    "changes": (50, 5),
    # Two a second [CloudTrail API reference, LookupEvents].
    "LookupEvents": (2, 2),
}
# What lists resources, and asks for all of them unless it is told otherwise. Naming some by id is no filter to these buckets.
AT_EVERYTHING = frozenset({
    "DescribeImages", "DescribeInstances", "DescribeInstanceStatus", "DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeSnapshots",
    "DescribeSpotInstanceRequests", "DescribeVolumes",
})
# What is limited, by its service: every call, or those that are named; and how a call is refused.
LIMITED: dict[str, frozenset[str] | None] = {"ec2": None, "cloudtrail": frozenset({"LookupEvents"})}
REFUSALS = {"ec2": ("RequestLimitExceeded", 503, "Request limit exceeded."), "cloudtrail": ("ThrottlingException", 400, "Rate exceeded")}


@dataclass
class Bucket:
    """The tokens that are left of one action. They come back once a second, as many as the refill says."""

    burst: float
    refill: float
    since: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def take(self, now: float) -> bool:
        """Takes a token, if there is one. A call that is refused takes none."""
        seconds = int(now - self.since)
        self.since += seconds
        self.tokens = min(self.burst, self.tokens + seconds * self.refill)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Region:
    """The buckets of one account in one Region. `sizes` replaces those of `BUCKETS` of the same name, or adds an action."""

    def __init__(self, sizes: Mapping[str, tuple[float, float]] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._sizes = {**BUCKETS, **(sizes or {})}
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()

    def admits(self, action: str, parameters: Collection[str]) -> bool:
        """Whether a call may pass, by its action and the names of its parameters."""
        kind = kind_of(action, parameters)
        size = self._sizes.get(action, self._sizes[kind])
        # An action that looks at everything has another bucket for that.
        name = f"{action}, {kind}" if kind == "looks at everything" else action
        with self._lock:
            now = self._clock()
            bucket = self._buckets.setdefault(name, Bucket(*size, since=now))
            return bucket.take(now)


def kind_of(action: str, parameters: Collection[str]) -> str:
    """Which of EC2's categories an action belongs to, asked like this."""
    if not action.startswith(("Describe", "Get", "List", "Search")):
        return "changes"
    narrow = any(name.startswith(("Filter.", "MaxResults", "NextToken")) for name in parameters)
    return "looks at everything" if action in AT_EVERYTHING and not narrow else "looks, filtered or in pages"


_LOCK = threading.Lock()
_ENFORCED: dict[str, dict[str, tuple[float, float]]] = {}
_REGIONS: dict[tuple[str, str], Region] = {}


def enforce(account: str, enforced: bool, sizes: Mapping[str, list[float]] | None = None) -> None:
    """From now on, with full buckets; or no more. A name that is no action and no kind is an error: it would do nothing."""
    sized = {name: (float(burst), float(refill)) for name, (burst, refill) in (sizes or {}).items()}
    if strange := [name for name in sized if name not in BUCKETS and not name.isalpha()]:
        raise ValueError(f"these name no bucket: {strange}")
    with _LOCK:
        for known in [known for known in _REGIONS if known[0] == account]:
            del _REGIONS[known]
        _ENFORCED.pop(account, None)
        if enforced:
            _ENFORCED[account] = sized


def is_limited(service: str, action: str) -> bool:
    return service in LIMITED and ((named := LIMITED[service]) is None or action in named)


def refuses(account: str, region: str, action: str, parameters: Collection[str]) -> bool:
    """Whether AWS refuses this call now; if it does not, a token is gone."""
    with _LOCK:
        if account not in _ENFORCED:
            return False
        buckets = _REGIONS.setdefault((account, region), Region(_ENFORCED[account]))
    return not buckets.admits(action, parameters)
