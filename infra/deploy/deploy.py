"""Deploys built binaries to the account and Region of the AWS environment: deploy.py [--only-check]

Safe to run again: what is there already stays as it is.
"""

from __future__ import annotations

import sys

import account
import collectors
import settings
import signing_key
import stack
from account import Account
from console import Stop, agreed, loud, run, say, step
from package import package
from settings import DEFAULT_POLICY, Settings, read_policy
from stack import Stack


def main() -> None:
    given = settings.of_environment()
    here = account.of_environment()
    step(f"account {here.number}, Region {here.region}, stack {given.stack}")
    say(f"as {here.caller}")
    now = stack.look(here, given.stack)
    stack.must_be_ready(now)
    say("the stack is new" if now.is_new else f"the stack is {now.status}")
    policy = _policy(given, now)
    if "--only-check" not in sys.argv[1:]:
        deploy(here, given, now, policy)


def _policy(given: Settings, now: Stack) -> dict[str, str]:
    """The template's parameter. A policy that was deployed stays until another one is given."""
    if given.policy is None and "Policy" in now.parameters and not now.is_new:
        say("the policy stays as it was deployed; POLICY=FILE deploys another one")
        return {}
    return {"Policy": given.policy or read_policy(DEFAULT_POLICY)}


def deploy(here: Account, given: Settings, now: Stack, policy: dict[str, str]) -> None:
    built = given.binaries / "collectors"
    step("collectors")
    parameters = {"Architecture": given.architecture, **collectors.digests(built), **policy, **given.parameters}

    step("uploading")
    url = package(here, given.binaries, given.architecture, given.code_bucket)

    step("what would change")
    proposed = stack.propose(here, now, url, parameters, set(settings.template()["Parameters"]))
    if proposed is None:
        say("nothing")
    else:
        stack.show(now, proposed, parameters)
        if not agreed(f"Execute these {len(proposed.changes)} changes in account {here.number}, Region {here.region}?"):
            raise Stop(f"nothing was changed. The change set {proposed.name} stays, and can be read or executed in the console: {here.console('cloudformation/home')}")
        if not now.is_new:
            # Before the functions ask for it: a capture that begins meanwhile finds its collector.
            collectors.publish(here, _output(now, "EvidenceBucketName"), built)
        step("executing" + (" (a first deployment takes some minutes)" if now.is_new else ""))
        now = stack.execute(here, now, proposed)

    step("publishing")
    collectors.publish(here, _output(now, "EvidenceBucketName"), built)
    fingerprint = signing_key.write(here, _output(now, "SigningKeyArn"), given.public_key)
    say(f"the public key is in {given.public_key}; SHA-256 of its DER form: {fingerprint}")
    loud("keep the key and its fingerprint where this account cannot change them: cases are checked with it")
    step("deployed. What to do next")
    for line in _next(here, given, now):
        say(line)


def _output(now: Stack, name: str) -> str:
    if name not in now.outputs:
        raise Stop(f"the stack {now.name} has no output {name}: is it a stack of this template? STACK= names another one")
    return now.outputs[name]


def _next(here: Account, given: Settings, now: Stack) -> list[str]:
    topic, region = _output(now, "TopicArn"), here.region
    return [
        "1. Subscribe the people on call, and have each confirm the mail:",
        f"     aws sns subscribe --region {region} --topic-arn {topic} --protocol email --notification-endpoint PERSON@EXAMPLE.COM",
        "2. Run the first drill: docs/operate.md, 'First drill'.",
        "3. Check its case:",
        f"     cordon verify CASE --region {region} --public-key {given.public_key}",
        f"Memory needs interface endpoints for ssm and ssmmessages and an S3 gateway endpoint in each VPC; the evidence is in s3://{_output(now, 'EvidenceBucketName')}/cases/.",
    ]


if __name__ == "__main__":
    run(main)
