"""How the scripts speak with the person who runs them, and how they stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError


class Stop(Exception):
    """Nothing further is done. The message says what is wrong and what to do; it is all that is printed."""


def step(text: str) -> None:
    print(f"== {text}", flush=True)


def say(text: str) -> None:
    print(f"   {text}", flush=True)


def loud(text: str) -> None:
    print(f"!! {text}", flush=True)


def agreed(question: str) -> bool:
    """Whether the person says `yes`, in full; or has said so beforehand with YES=1."""
    if os.environ.get("YES") == "1":
        say(f"{question} yes (YES=1)")
        return True
    if not sys.stdin.isatty():
        raise Stop("there is no terminal to ask on: run it on one, or say YES=1 after having read the above")
    return input(f"   {question} Type yes: ").strip() == "yes"


def run(main: Callable[[], None]) -> None:
    """Runs a script. What AWS refuses is printed as a sentence and not as a traceback."""
    try:
        main()
    except Stop as stop:
        sys.exit(f"\nstopped: {stop}")
    except ClientError as error:
        sys.exit(f"\nstopped: AWS refused {error.operation_name}: {error.response['Error'].get('Code')}: {error.response['Error'].get('Message')}")
    except BotoCoreError as error:
        sys.exit(f"\nstopped: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped by hand; a stack operation that has begun goes on")
