"""A model of many targets that are cut at once: why there are turns, and why calls are sent again at the paces that they are.

    python -m perf.crowd [--targets N] [--interfaces K] [--at-once C ...]

It has EC2's bucket, the turns with the definition's retrier, and the paces of `crates/isolate/src/pace.rs`; answers take as long
as they might on AWS. Time is simulated, and chance is seeded.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cloud.throttling import Bucket

from .buckets import BURST, REFILL, last_cut

# How long one call takes; what a run does before its first move and after its last (looks, intents, records), in seconds.
CALL, BEFORE, AFTER = 0.15, 0.25, 0.6
# The longest pause of who waits for a turn, and of who is tried again; how often the latter.
TURN_PAUSE, AGAIN_PAUSE, AGAIN = 10.0, 30.0, 5


@dataclass(frozen=True)
class Pace:
    attempts: int
    first: float
    longest: float


OPENING, CLOSING = Pace(7, 2.0, 10.0), Pace(24, 0.25, 0.5)
Then = Callable[[], None]


@dataclass
class Crowd:
    """One simulation, and what came of it."""

    targets: int
    interfaces: int
    at_once: int
    """0: any number."""
    opening: Pace = OPENING
    closing: Pace = CLOSING
    seed: int = 1
    cut_at: float = 0.0
    wide_open: list[float] = field(default_factory=list)
    """How long each interface was in the conversion group."""
    not_converted: int = 0
    doors_closed: int = 0
    """How often a cut gave up, so that the group's rules had to go."""
    given_up: int = 0
    calls: int = 0
    refused: int = 0

    def run(self) -> Crowd:
        self._chance, self._now, self._numbers = random.Random(self.seed), 0.0, itertools.count()
        self._queue: list[tuple[float, int, Then]] = []
        self._bucket, self._running = Bucket(BURST, REFILL, since=0.0), 0
        self._state: dict[tuple[int, int], str] = {}
        for target in range(self.targets):
            self._after(self._chance.random() * 0.5, lambda target=target: self._turn(target, 0, 0))
        while self._queue:
            self._now, _, then = heapq.heappop(self._queue)
            then()
        return self

    def _after(self, seconds: float, then: Then) -> None:
        heapq.heappush(self._queue, (self._now + seconds, next(self._numbers), then))

    def _pause(self, first: float, number: int, longest: float) -> float:
        """Full jitter."""
        return self._chance.random() * min(first * 2.0 ** min(number, 20), longest)

    def _call(self, pace: Pace, done: Then, gave_up: Then, attempt: int = 1) -> None:
        self.calls += 1
        if self._bucket.take(self._now):
            self._after(CALL, done)
            return
        self.refused += 1
        if attempt >= pace.attempts:
            self._after(CALL, gave_up)
            return
        self._after(CALL + self._pause(pace.first, attempt - 1, pace.longest), lambda: self._call(pace, done, gave_up, attempt + 1))

    def _turn(self, target: int, waited: int, tried: int) -> None:
        if self.at_once and self._running >= self.at_once:
            self._after(self._pause(1, waited, TURN_PAUSE), lambda: self._turn(target, waited + 1, tried))
            return
        self._running += 1
        self._after(BEFORE, lambda: self._isolate(target, tried))

    def _isolate(self, target: int, tried: int) -> None:
        left = [(target, n) for n in range(self.interfaces) if self._state.get((target, n)) != "cut"]
        pending, failed = [len(left)], [False]

        def one_ended() -> None:
            pending[0] -= 1
            if not pending[0]:
                self._end(target, tried, failed[0])

        for interface in left:
            self._lead(interface, one_ended, failed)

    def _lead(self, interface: tuple[int, int], ended: Then, failed: list[bool]) -> None:
        def cut(since: float | None) -> None:
            def done() -> None:
                self._state[interface], self.cut_at = "cut", self._now
                if since is not None:
                    self.wide_open.append(self._now - since)
                ended()

            def gave_up() -> None:
                failed[0] = True
                if since is not None:
                    self.wide_open.append(self._now - since)
                    self.doors_closed += 1
                ended()

            self._call(self.closing, done, gave_up)

        def converted() -> None:
            self._state[interface] = "converted"
            cut(self._now)

        def unconverted() -> None:
            self.not_converted += 1
            cut(None)

        if self._state.get(interface) == "converted":
            cut(None)
        else:
            self._call(self.opening, converted, unconverted)

    def _end(self, target: int, tried: int, failed: bool) -> None:
        if not failed:
            for _ in range(self.interfaces):  # the tracking asks once
                self.calls += 1
                self.refused += not self._bucket.take(self._now)

        def over() -> None:
            self._running -= 1
            if failed and tried >= AGAIN:
                self.given_up += 1
            elif failed:
                self._after(self._pause(2, tried, AGAIN_PAUSE), lambda: self._turn(target, 0, tried + 1))

        self._after(AFTER, over)


def main() -> None:
    parser = argparse.ArgumentParser(prog="perf.crowd", description=__doc__)
    parser.add_argument("--targets", type=int, default=100, metavar="N")
    parser.add_argument("--interfaces", type=int, nargs="+", default=[1, 2, 4], metavar="K")
    parser.add_argument("--at-once", type=int, nargs="+", default=[5, 10, 20, 0], metavar="C", help="0 for any number")
    given = parser.parse_args()
    print(f"{'interfaces':>10} {'at once':>8} {'last cut, s':>12} {'soonest':>8} {'open, mean s':>13} {'open, max s':>12} {'unconverted':>12} {'doors closed':>13} {'given up':>9} {'calls':>6} {'refused':>8}")
    for interfaces, at_once in itertools.product(given.interfaces, given.at_once):
        found = Crowd(given.targets, interfaces, at_once).run()
        mean = sum(found.wide_open) / len(found.wide_open)
        print(f"{interfaces:>10} {at_once or 'any':>8} {found.cut_at:>12.1f} {last_cut(given.targets, interfaces).soonest:>8.1f} {mean:>13.2f} {max(found.wide_open):>12.1f} {found.not_converted:>12} {found.doors_closed:>13} {found.given_up:>9} {found.calls:>6} {found.refused:>8}")


if __name__ == "__main__":
    main()
