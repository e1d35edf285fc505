"""The call log: every call to AWS, who made it, when, and how it was answered."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

_LOCK = threading.Lock()
_CALLS: list[dict[str, Any]] = []
_FILE: Path | None = None


def write_to(path: Path) -> None:
    global _FILE
    _FILE = path


def record(began: float, **call: Any) -> None:
    """Notes one call: `service`, `action`, `principal`, `app`, `status`, `error`, `fault`, `reached`, `account`, `about`."""
    answered = time.time()
    entry = {"t": round(began, 4), "answeredAt": round(answered, 4), "ms": round((answered - began) * 1000, 1), **call}
    with _LOCK:
        _CALLS.append(entry)
        if _FILE:
            with _FILE.open("a") as file:
                file.write(json.dumps(entry) + "\n")


def of(account: str) -> list[dict[str, Any]]:
    with _LOCK:
        return [call for call in _CALLS if call.get("account") == account]
