"""People who may answer: users, and sessions of roles, each with the policy that the template makes for approvers."""

from __future__ import annotations

import json
from typing import Any

from .deploy import client


def credentials(endpoint: str, account: str, user: str | None = None, role: str | None = None, session: str = "somebody", everything: bool = False) -> dict[str, str | None]:
    """Credentials of a user, who may be allowed everything, or of a role's session; made where there are none yet."""
    iam = client(endpoint, account, "iam")
    policy = next(found["Arn"] for page in iam.get_paginator("list_policies").paginate(Scope="Local") for found in page["Policies"] if "ApproverPolicy" in found["PolicyName"])
    if user:
        _make(iam.exceptions.EntityAlreadyExistsException, iam.create_user, UserName=user)
        iam.attach_user_policy(UserName=user, PolicyArn=policy)
        if everything:
            allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
            iam.put_user_policy(UserName=user, PolicyName="everything", PolicyDocument=json.dumps(allowed))
        key = iam.create_access_key(UserName=user)["AccessKey"]
        return {"accessKeyId": key["AccessKeyId"], "secretAccessKey": key["SecretAccessKey"], "sessionToken": None}
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}]}
    _make(iam.exceptions.EntityAlreadyExistsException, iam.create_role, RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))
    iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    given = client(endpoint, account, "sts").assume_role(RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName=session)["Credentials"]
    return {"accessKeyId": given["AccessKeyId"], "secretAccessKey": given["SecretAccessKey"], "sessionToken": given["SessionToken"]}


def _make(there: type[Exception], make: Any, **given: Any) -> None:
    try:
        make(**given)
    except there:
        pass
