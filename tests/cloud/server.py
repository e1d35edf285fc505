"""The emulator's process: joins, corrects and serves. Started by `python -m cloud`, which gives it its environment."""

from __future__ import annotations

import base64
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

from . import patching


def main() -> None:
    settings = json.loads(os.environ.pop("CORDON_CLOUD"))
    try:
        patching.check_versions()
        _install(settings)
    except patching.Drift as drift:
        sys.exit(f"the local cloud does not start: {drift}")
    import ministack.app as app

    app.main()


def _install(settings: dict[str, Any]) -> None:
    from . import agents, asynchronous, attributes, balancers, calls, cloudformation, console, copies, ec2, iam, joint, keys, multipart, scaling, sessions, snapshots, ssm, stepfunctions, storage, tracking
    from .admin import Admin

    calls.write_to(Path(settings["dir"]) / "calls.jsonl")
    joint.install(agents.behind)
    iam.install()
    ec2.install()
    console.install()
    attributes.install()
    tracking.install()
    scaling.install()
    balancers.install()
    agents.install(settings["memoryMiB"])
    ssm.install()
    sessions.install()
    snapshots.install(settings["snapshotSeconds"])
    keys.install()
    copies.install()
    stepfunctions.install(settings["timeoutScale"])
    asynchronous.install()
    storage.install()
    multipart.install()
    cloudformation.install()
    Admin(settings["endpoint"], lambda account: _account(settings, account)).install()


def _account(settings: dict[str, Any], account: str) -> dict[str, Any]:
    """Deploys the stack in an account, makes targets, and says what is where.

    The first deployment is read back: whether the emulator drops anything. The others are made from the same template by the
    same code, and reading all of it would be a tenth of what the journeys take."""
    from . import readback, targets
    from .admin import FIRST_ACCOUNT
    from .deploy import REGION, Collector, client, deploy

    endpoint, template = settings["endpoint"], Path(settings["template"])
    # The local cloud speaks plain HTTP on loopback.
    parameters = {"RequireTls": "false", **dict(pair.split("=", 1) for pair in settings["parameters"])}
    binaries = Path(settings["binaries"])
    collector = Collector(Path(settings["collector"] or binaries / "collector"), settings["collectorArguments"])
    outputs = deploy(endpoint, account, template, binaries, parameters, collector)
    if account == str(FIRST_ACCOUNT):
        readback.check(endpoint, account, template)
    key = client(endpoint, account, "kms").get_public_key(KeyId=outputs["SigningKeyArn"])["PublicKey"]
    pem = Path(settings["dir"]) / f"cordon-signing-key-{account}.pem"
    pem.write_text("-----BEGIN PUBLIC KEY-----\n" + "\n".join(textwrap.wrap(base64.b64encode(key).decode(), 64)) + "\n-----END PUBLIC KEY-----\n")
    return {
        "endpoint": endpoint, "region": REGION, "accountId": account, "accessKeyId": account, "secretAccessKey": "test",
        "stateMachineArn": outputs["StateMachineArn"], "bucket": outputs["EvidenceBucketName"], "topicArn": outputs["TopicArn"],
        "signingKeyArn": outputs["SigningKeyArn"], "publicKeyPath": str(pem), "callLog": str(Path(settings["dir"]) / "calls.jsonl"),
        "instances": targets.usual(endpoint, account),
    }


if __name__ == "__main__":
    main()
