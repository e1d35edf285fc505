"""The public key that checks every manifest."""

from __future__ import annotations

import base64
import hashlib
import textwrap
from pathlib import Path

from account import Account
from console import Stop


def write(account: Account, arn: str, path: Path) -> str:
    """Writes the key as PEM, and gives the SHA-256 of its DER form. Never replaces another key: cases are checked with it."""
    der = account("kms").get_public_key(KeyId=arn)["PublicKey"]
    text = "\n".join(["-----BEGIN PUBLIC KEY-----", *textwrap.wrap(base64.b64encode(der).decode(), 64), "-----END PUBLIC KEY-----", ""])
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        if path.read_text() != text:
            raise Stop(f"{path} holds another deployment's key and was left as it is. Everything else is done: run it again with PUBLIC_KEY=another.pem") from None
    except OSError as error:
        raise Stop(f"the public key cannot be written: {error}. Everything else is done: run it again with PUBLIC_KEY=another.pem") from None
    return hashlib.sha256(der).hexdigest()
