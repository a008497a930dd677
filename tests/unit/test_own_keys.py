"""A key of the provider's own is tried before it is used."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from backchannel.errors import FunctionUnavailable, RegistrationInvalidError, SigningUnavailable
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.own_keys import OwnKeys
from backchannel.tokens.probe import PROBE, probe
from tests.support.signing import public_key, ring, signer

ARN = "arn:aws:kms:key/"


class Delivery:
    """Signs with the key of ``alg``, whatever it is asked for."""

    def __init__(self, alg: str) -> None:
        self.alg = alg

    def call(self, **event: Any) -> Any:
        return probe(signer(), kms_key_arn=ARN + self.alg, alg=event["probe"]["alg"])


def own_keys(delivery: Any, **changed: Any) -> OwnKeys:
    def get_public_key(KeyId: str) -> dict[str, Any]:  # noqa: N803
        alg = KeyId.removeprefix(ARN)
        found = {"KeyUsage": "SIGN_VERIFY", "KeySpec": ALGORITHMS[alg].key_spec, "SigningAlgorithms": [ALGORITHMS[alg].kms]}
        return {**found, "PublicKey": public_key(alg), **changed}

    return OwnKeys(cast("Any", SimpleNamespace(get_public_key=get_public_key)), delivery)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_that_signs_is_taken(alg: str) -> None:
    assert own_keys(Delivery(alg)).public_key(ARN + alg, alg) == public_key(alg)


def test_a_signature_of_another_key_is_refused() -> None:
    with pytest.raises(RegistrationInvalidError, match="does not verify"):
        own_keys(Delivery("RS256"), PublicKey=public_key("RS512")).public_key(ARN + "RS256", "RS256")


@pytest.mark.parametrize("changed", [{"KeyUsage": "ENCRYPT_DECRYPT"}, {"SigningAlgorithms": ["RSASSA_PSS_SHA_256"]}])
def test_a_key_that_cannot_sign_the_algorithm_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(RegistrationInvalidError, match="RSA_2048, which cannot sign RS256"):
        own_keys(Delivery("RS256"), **changed).public_key(ARN + "RS256", "RS256")


def test_a_key_that_kms_does_not_show_is_refused() -> None:
    def get_public_key(KeyId: str) -> None:  # noqa: N803
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": KeyId}}, "GetPublicKey")

    keys = OwnKeys(cast("Any", SimpleNamespace(get_public_key=get_public_key)), Delivery("RS256"))

    with pytest.raises(RegistrationInvalidError, match=r"AccessDeniedException.*kms:GetPublicKey"):
        keys.public_key(ARN + "RS256", "RS256")


def test_a_key_that_delivery_may_not_use_is_refused() -> None:
    with pytest.raises(RegistrationInvalidError, match=r"DisabledException.*kms:Sign"):
        own_keys(SimpleNamespace(call=lambda **_: {"code": "DisabledException"})).public_key(ARN + "RS256", "RS256")


def test_if_delivery_does_not_answer_nothing_is_decided() -> None:
    def call(**_: Any) -> None:
        raise FunctionUnavailable("ReadTimeoutError")

    with pytest.raises(FunctionUnavailable):
        own_keys(SimpleNamespace(call=call)).public_key(ARN + "RS256", "RS256")


def test_what_is_signed_to_try_a_key_is_no_token() -> None:
    assert b"." not in PROBE


def test_what_kms_refuses_is_told() -> None:
    class Refusing:
        def sign(self, *_: Any) -> bytes:
            raise SigningUnavailable("AccessDeniedException")

    assert probe(Refusing(), kms_key_arn=ring()[0].kms_key_arn, alg="RS256") == {"code": "AccessDeniedException"}
