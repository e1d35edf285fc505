"""An instance's console: what it printed, and what its screen shows. moto prints the same of every instance, in any state, and
has no screen."""

from __future__ import annotations

import base64
import datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import ec2_backends
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

from .deploy import REGION
from .patching import add, replace

# EC2 keeps the newest 64 KiB.
MOST = 64 * 1024
# The beginning of a JPEG, a comment, and its end: what a picture is told by, and no picture of anything.
PICTURE = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xfe\x00\x09console\xff\xd9"
_BOOTED = b"[    0.000000] Linux version 6.1.0 (local cloud)\r\nlogin: "

_printed: dict[str, bytes] = {}


def install() -> None:
    replace(EC2Response, "get_console_output", lambda _original: get_console_output)
    add(EC2Response, "get_console_screenshot", get_console_screenshot)


def prints(account: str, instance: str, text: str) -> None:
    """The instance prints `text`; an empty one, and it has printed nothing."""
    printed = text.encode()
    ec2_backends[account][REGION].get_instance(instance)
    _printed[instance] = _printed.get(instance, _BOOTED) + printed if printed else b""


def get_console_output(self: Any) -> ActionResult:
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    printed = _printed.get(instance.id, _BOOTED)[-MOST:]
    # An instance that printed nothing has no output, not an empty one.
    output = {"Output": base64.b64encode(printed).decode()} if printed else {}
    return ActionResult({"InstanceId": instance.id, "Timestamp": datetime.datetime.now(datetime.timezone.utc), **output})


def get_console_screenshot(self: Any) -> ActionResult:
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    if instance.state != "running":
        raise EC2ClientError("IncorrectInstanceState", f"The instance '{instance.id}' is not in a state from which a console screenshot can be taken.")
    return ActionResult({"InstanceId": instance.id, "ImageData": base64.b64encode(PICTURE).decode()})
