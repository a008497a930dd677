"""Our own Signature Version 4, against botocore's."""

import time
from datetime import UTC, datetime

import pytest
from botocore import auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from backchannel.aws.signature import signed_headers

TARGET = "AmazonSQS.SendMessage"


def _by_botocore(host: str, body: bytes, region: str, credentials: Credentials) -> str:
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": TARGET}
    request = AWSRequest("POST", f"https://{host}/", data=body, headers=headers)
    SigV4Auth(credentials, "sqs", region).add_auth(request)
    signature: str = request.headers["Authorization"]
    return signature


@given(st.binary(max_size=50), st.sampled_from(["eu-central-1", "cn-north-1"]), st.none() | st.just("session/token+"))
def test_requests_are_signed_as_botocore_signs_them(body: bytes, region: str, token: str | None) -> None:
    host, now = f"sqs.{region}.amazonaws.com", float(round(time.time()))
    variables = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    variables |= {} if token is None else {"AWS_SESSION_TOKEN": token}

    ours = signed_headers(host, TARGET, body, region=region, credentials=variables, now=now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda: datetime.fromtimestamp(now, UTC).replace(tzinfo=None))
        theirs = _by_botocore(host, body, region, Credentials("AKIDEXAMPLE", "secret", token))
    assert ours["authorization"] == theirs
    assert ours.get("x-amz-security-token") == token
