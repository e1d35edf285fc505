"""Every private name of the emulators that we touch, in one place.

The emulators are pinned, and what we replace has no stable interface. So nothing is replaced but through `replace`,
which refuses to start with another version or a missing name rather than let a patch silently do nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

PINNED = {"ministack": "1.5.33", "moto": "5.2.5"}


class Drift(Exception):
    """An emulator is not the one that the patches were written for."""


def check_versions() -> None:
    for package, pinned in PINNED.items():
        found = version(package)
        if found != pinned:
            raise Drift(f"{package} {found} is installed, but the local cloud is written for {pinned}: run `make clean` and try again")


def require(owner: Any, name: str) -> Any:
    """The attribute `name` of `owner`, which must exist."""
    try:
        return getattr(owner, name)
    except AttributeError:
        raise Drift(f"`{getattr(owner, '__name__', owner)}` has no `{name}` any more: a patch of the local cloud must be rewritten") from None


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replaces `owner.name` by what `make` makes of the original."""
    setattr(owner, name, make(require(owner, name)))


def add(owner: Any, name: str, value: Any) -> None:
    """Adds `owner.name`, which must not exist yet: should the emulator learn it, ours must go."""
    if hasattr(owner, name):
        raise Drift(f"`{getattr(owner, '__name__', owner)}` has `{name}` by now: remove the local cloud's own")
    setattr(owner, name, value)
