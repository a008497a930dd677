from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from backchannel.errors import SigningUnavailable
from backchannel.tokens.kms import PATIENCE, KmsSigner
from tests.support.signing import FakeKms, ring

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

(KEY, *_) = ring()
THROTTLED = ClientError({"Error": {"Code": "ThrottlingException"}}, "Sign")
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "Sign")
TOO_SLOW = ReadTimeoutError(endpoint_url="https://kms.example")


class Kms(FakeKms):
    """Fails a number of times before it signs, after ``seconds`` each; time passes only here and in ``sleep``."""

    def __init__(self, fault: Exception, times: int, seconds: float = 0.1) -> None:
        self.fault, self.times, self.seconds = fault, times, seconds
        self.now = 1000.0
        self.began: list[float] = []
        self.slept: list[float] = []

    def sign(self, **request: Any) -> dict[str, Any]:
        self.began.append(self.now - 1000)
        self.now += self.seconds
        if len(self.began) <= self.times:
            raise self.fault
        return super().sign(**request)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def signer(self, seed: int = 0) -> KmsSigner:
        return KmsSigner(cast("KMSClient", self), Random(seed), lambda: self.now, self.sleep)  # noqa: S311 - spreads load


def test_a_throttled_signature_is_waited_for_in_place() -> None:
    kms = Kms(THROTTLED, times=3)

    assert kms.signer().sign(KEY, b"token")

    assert len(kms.slept) == 3


@pytest.mark.parametrize("fault", [DENIED, TOO_SLOW])
def test_nothing_but_throttling_is_waited_for(fault: Exception) -> None:
    kms = Kms(fault, times=1)

    with pytest.raises(SigningUnavailable):
        kms.signer().sign(KEY, b"token")

    assert (len(kms.began), kms.slept) == (1, [])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("seconds", [0.01, 1.0, 14.0])
@pytest.mark.parametrize(("within", "longest"), [(60_000, PATIENCE), (PATIENCE, PATIENCE), (2500, 2500), (0, 0), (-500, 0)])
def test_no_call_begins_after_six_seconds_or_when_the_post_is_due(seed: int, seconds: float, within: int, longest: int) -> None:
    kms = Kms(THROTTLED, times=1000, seconds=seconds)

    with pytest.raises(SigningUnavailable, match="ThrottlingException"):
        kms.signer(seed).sign(KEY, b"token", within=within)

    assert max(kms.began) * 1000 <= longest


def test_two_signers_that_are_throttled_at_once_do_not_come_back_at_once() -> None:
    one, other = (Kms(THROTTLED, times=4) for _ in range(2))

    one.signer(seed=1).sign(KEY, b"token")
    other.signer(seed=2).sign(KEY, b"token")

    assert not set(one.slept) & set(other.slept)
    assert all(later > 0.9 * earlier for earlier, later in zip(one.slept, one.slept[2:], strict=False))
