"""How many sequential round trips there are from the finding to the last cut, by the call log, whatever the number of interfaces.

docs/decisions/0021 says what each of them is for.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import latency, local
from .local import Account
from .paths import ROOT

# Long beside the time that the emulator takes for fifteen calls, so that what is sent at once is seen to be at once.
DELAY_MS = 400
# From the finding, and of the step that cuts, alone: in a VPC whose groups must be made first, and in one that has them.
BUDGETS = {"first": (10, 6), "second": (7, 3)}


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with local.cloud("budget", ROOT / "target" / "debug") as account:
        account.set_policy(latency.POLICY)
        latency.cordon(account, account.targets(1, 1)[0], 1, delayed=False)
        yield account


@pytest.mark.parametrize("interfaces", [1])
def test_the_cut_keeps_its_budget_of_round_trips_whatever_the_number_of_interfaces(account: Account, interfaces: int) -> None:
    for where, instance in zip(BUDGETS, account.targets(2, interfaces), strict=True):
        account.delay(DELAY_MS)
        try:
            found = dict(latency.cordon(account, instance, interfaces))
        finally:
            account.delay(0)
        trips = tuple(one.round_trips for one in found.values())
        assert len(trips) == 2
        assert all(trip <= budget for trip, budget in zip(trips, BUDGETS[where], strict=True)), (
            f"{interfaces} interfaces, the {where} target of a VPC: {trips[0]} round trips from the finding and {trips[1]} of Isolate, where {BUDGETS[where]} are allowed. "
            "`python -m perf.latency --detail` shows what each is made of"
        )
