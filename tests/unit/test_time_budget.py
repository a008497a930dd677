"""What an attempt takes at the most, call by call, against the function's timeout and the lease. In milliseconds."""

import inspect
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.retries.standard import ExponentialBackoff, RetryContext, ThrottlingErrorDetector

from backchannel.aws.clients import CONFIG, LONGEST_CALL
from backchannel.deliveries.encryption import FETCH_WITHIN
from backchannel.deliveries.table import LEASE
from backchannel.deliveries.worker import POST_WITHIN
from backchannel.egress.post import DEADLINE, Egress
from backchannel.tokens.kms import PATIENCE
from tests.template.cloudformation import load

TIMEOUT = load()["Resources"]["DeliveryFunction"]["Properties"]["Timeout"] * 1000
CALL = 100
"""What a call to AWS takes on an ordinary day, and more."""


def test_a_post_that_begins_in_time_is_recorded_before_the_lease_and_the_function_end() -> None:
    post, circuit, record = DEADLINE * 1000, LONGEST_CALL, LONGEST_CALL

    assert POST_WITHIN + post + circuit + record < min(LEASE, TIMEOUT)
    assert LEASE <= TIMEOUT, "after its lease, an attempt is not its own any more"
    assert inspect.signature(Egress).parameters["deadline"].default == DEADLINE


def test_an_attempt_can_wait_for_a_throttled_signature_and_still_post() -> None:
    before_signing = ["lease", "provider", "client", "newer logins", "circuit"]

    assert len(before_signing) * CALL + PATIENCE + CALL < POST_WITHIN


def test_an_attempt_can_wait_for_the_clients_keys_and_still_post() -> None:
    before_signing = ["lease", "provider", "client", "newer logins", "copy of the keys", "claim", "new copy", "circuit"]

    assert len(before_signing) * CALL + FETCH_WITHIN * 1000 + CALL < POST_WITHIN


def test_no_call_to_aws_takes_longer_than_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {"AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "10"}.items():
        monkeypatch.setenv(variable, value)
    kms = botocore.session.Session().create_client("kms", "eu-central-1", config=CONFIG)
    config: Any = kms.meta.config
    retries, attempt = config.retries, config.connect_timeout + config.read_timeout

    assert (retries["mode"], retries["total_max_attempts"]) == ("standard", 2), "whatever the environment says"
    assert 2 * attempt + _longest_pause() == LONGEST_CALL / 1000


def _longest_pause() -> float:
    """Ask botocore how long it waits before the second attempt if a throttled answer says to wait for an hour."""
    backoff = ExponentialBackoff(random=lambda: 1.0, throttling_detector=_Throttled())
    answer = AWSResponse("https://kms.example", 400, HTTPHeaders(), None)
    answer.headers["x-amz-retry-after"] = "3600000"
    return float(backoff.delay_amount(RetryContext(attempt_number=1, http_response=answer)))


class _Throttled(ThrottlingErrorDetector):
    def __init__(self) -> None:
        pass

    def is_throttling_error_from_context(self, context: RetryContext) -> bool:  # noqa: ARG002 - it always is
        return True
