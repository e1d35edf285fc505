"""How many sequential round trips there are from the finding to the last cut, by the call log, whatever the number of interfaces.

docs/decisions/0021 says what each of them is for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from . import latency, local
from .local import Account
from .paths import ROOT
from .waves import BUDGETS

# Long beside the time that the emulator takes for fifteen calls, so that what is sent at once is seen to be at once.
DELAY_MS = 400


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with local.cloud("budget", ROOT / "target" / "debug") as account:
        account.set_policy(latency.POLICY)
        latency.cordon(account, account.targets(1, 1)[0], 1, delayed=False)
        yield account


@pytest.mark.parametrize("interfaces", [1, 15])
def test_the_cut_keeps_its_budget_of_round_trips_whatever_the_number_of_interfaces(account: Account, interfaces: int) -> None:
    for where, instance in zip(BUDGETS, account.targets(2, interfaces), strict=True):
        trips = until_cut(account, instance, interfaces)
        assert all(trip <= budget for trip, budget in zip(trips, BUDGETS[where], strict=True)), (
            f"{interfaces} interfaces, the {where} target of a VPC: {trips[0]} round trips from the finding and {trips[1]} of Isolate, where {BUDGETS[where]} are allowed. "
            "`python -m perf.latency --detail` shows what each is made of"
        )


def until_cut(account: Account, instance: str, interfaces: int) -> tuple[int, int]:
    """The round trips of an incident, from the finding and of Isolate alone. Answers are late up to the cut; what comes after it would take minutes."""
    began = time.time()
    account.delay(DELAY_MS)
    with ThreadPoolExecutor(1) as pool:
        incident = pool.submit(latency.cordon, account, instance, interfaces)
        try:
            local.until("Isolate has answered, or the incident ended", lambda: incident.done() or any(call.get("state") == "Isolate" for call in account.calls(began)))
        finally:
            account.delay(0)
        whole, alone = (found.round_trips for _, found in incident.result())
    return whole, alone
