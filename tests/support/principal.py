"""An operator with a name of their own: an IAM user who may call the operator's interface and nothing else."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.client import Response, Stack
from tests.support.aws import Aws

_CALLS_THE_API = {"Statement": [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}]}


@dataclass(frozen=True, slots=True)
class Principal:
    """Signs requests with keys of their own."""

    stack: Stack
    arn: str
    credentials: Credentials

    def ask(self, method: str, path: str, document: Any = None) -> Response:
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        request = AWSRequest(method, self.stack.api_url + path, data=body, headers=headers)
        SigV4Auth(self.credentials, "execute-api", self.stack.region).add_auth(request)
        return self.stack.request(method, path, body=body, headers=dict(request.headers))


@contextmanager
def principal(aws: Aws, name: str) -> Iterator[Principal]:
    """Make an IAM user whose name begins like this, and remove it afterwards."""
    iam, user = aws.client("iam"), f"{name}-{secrets.token_hex(4)}"
    arn = iam.create_user(UserName=user)["User"]["Arn"]
    iam.put_user_policy(UserName=user, PolicyName="api", PolicyDocument=json.dumps(_CALLS_THE_API))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    try:
        yield Principal(aws.stack, arn, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
    finally:
        iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName=user, PolicyName="api")
        iam.delete_user(UserName=user)
