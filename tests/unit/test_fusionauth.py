import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from backchannel.errors import (
    CallerError,
    EventTimeInvalidError,
    IdentifierInvalidError,
    MalformedRequestError,
    SignatureInvalidError,
)
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SubjectSessionsEnded
from backchannel.tokens.jws_verification import unverified
from backchannel.webhooks.batches import read_batch
from backchannel.webhooks.fusionauth import FORMAT, parse
from backchannel.webhooks.request import IGNORED, Context, Parsed, Proven, Refused, Request, Trust
from tests.unit.fakes import EVENTS, sample

USER, CLIENT = "8f3c0000-0000-4000-8000-000000000001", "a0000000-0000-4000-8000-000000000001"
AT = 1_788_249_600_000
CONTEXT = Context("https://auth.example.test", "claim", now=AT + 5_000)


def _id(number: int) -> str:
    return f"e0000000-0000-4000-8000-0000000000{number}"


def _ended(number: int, reason: Reason) -> Parsed:
    return Parsed((SubjectSessionsEnded(USER, AT, _id(number), reason=reason),))


SAMPLES: Mapping[str, Parsed] = {
    "jwt.refresh-token.revoke-single": Parsed(
        (SubjectSessionsEnded(USER, AT, _id(61), CLIENT, Reason.LOGOUT, "token_revoked"),),
    ),
    "jwt.refresh-token.revoke-user-inferred": Parsed(
        (SubjectSessionsEnded(USER, AT, _id(66), None, Reason.LOGOUT, "token_revoked"),),
    ),
    "jwt.refresh-token.revoke-application-inferred": IGNORED,
    "user.deactivate-inferred": _ended(63, Reason.USER_DISABLED),
    "user.delete-inferred": _ended(64, Reason.USER_DELETED),
    "user.login.success-inferred": Parsed((RpSessionStarted(USER, CLIENT, AT),)),
    "user.password.update-inferred": _ended(65, Reason.CREDENTIAL_CHANGED),
}

KEY = ECKey.generate_key("P-256", {"kid": "webhooks"})
BODY = (EVENTS / "fusionauth-jwt.refresh-token.revoke-single.json").read_bytes()
DIGEST = "/6153qZwEzn617U1nTDM/qhfZDjQnH9Kv/cXEpYSaX4="
"""Of that sample, by `openssl dgst -sha256 -binary | base64`."""


def _verified(token: str) -> tuple[str | None, Mapping[str, Any]]:
    found = unverified(token)
    found.verify([KEY.as_dict(private=False)])
    return found.typ, found.claims


TRUST = Trust(list, _verified, "https://auth.example.test")


def _signed(claims: dict[str, Any], typ: str = "JWT", key: ECKey | OctKey = KEY, alg: str = "ES256") -> dict[str, str]:
    return {"x-fusionauth-signature-jwt": jwt.encode({"alg": alg, "typ": typ, "kid": "webhooks"}, claims, key, algorithms=[alg])}


def _parse(event: Mapping[str, Any]) -> Parsed:
    return parse(Proven(json.dumps({"event": event}).encode()), CONTEXT)


def test_every_sample_has_its_expectation() -> None:
    assert {path.name.removeprefix("fusionauth-").removesuffix(".json") for path in EVENTS.glob("fusionauth-*")} == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str) -> None:
    assert _parse(sample(f"fusionauth-{name}.json")["event"]) == SAMPLES[name]


def test_a_login_at_no_application_starts_nothing() -> None:
    event = sample("fusionauth-user.login.success-inferred.json")["event"]
    del event["applicationId"]

    assert _parse(event) == IGNORED


@pytest.mark.parametrize("kind", ["user.login.failed", "user.update", "test", ""])
def test_other_types_are_ignored_whatever_they_hold(kind: str) -> None:
    assert _parse({"type": kind}) == IGNORED


def test_the_jwt_proves_the_body_that_it_names() -> None:
    assert FORMAT.verify(Request(BODY, _signed({"request_body_sha256": DIGEST})), TRUST, AT) == Proven(BODY)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-fusionauth-signature-jwt": "no token"},
        _signed({}),
        _signed({"request_body_sha256": None}),
        _signed({"request_body_sha256": DIGEST.rstrip("=")}),
        _signed({"request_body_sha256": DIGEST}, typ="at+jwt"),
        _signed({"request_body_sha256": DIGEST}, key=ECKey.generate_key("P-256")),
        _signed({"request_body_sha256": DIGEST}, key=OctKey.import_key("a secret of 32 characters, or more"), alg="HS256"),
    ],
)
def test_what_proves_no_body_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalidError):
        FORMAT.verify(Request(BODY, headers), TRUST, AT)


def test_the_jwt_of_one_body_is_worth_nothing_for_another() -> None:
    request = Request(BODY, _signed({"request_body_sha256": DIGEST}))

    with pytest.raises(SignatureInvalidError, match="request_body_sha256"):
        FORMAT.verify(replace(request, body=BODY + b" "), TRUST, AT)


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("jwt.refresh-token.revoke-single", {"type": None}, MalformedRequestError),
        ("jwt.refresh-token.revoke-single", {"id": None}, IdentifierInvalidError),
        ("jwt.refresh-token.revoke-single", {"userId": ""}, IdentifierInvalidError),
        ("jwt.refresh-token.revoke-single", {"applicationId": 7}, IdentifierInvalidError),
        ("jwt.refresh-token.revoke-single", {"createInstant": "now"}, MalformedRequestError),
        ("jwt.refresh-token.revoke-single", {"createInstant": AT // 1000}, EventTimeInvalidError),
        ("user.delete-inferred", {"user": None}, MalformedRequestError),
        ("user.delete-inferred", {"user": {}}, IdentifierInvalidError),
        ("user.login.success-inferred", {"user": {}}, IdentifierInvalidError),
    ],
)
def test_an_event_that_does_not_say_what_happened_is_refused(
    name: str, change: Mapping[str, Any], error: type[CallerError]
) -> None:
    with pytest.raises(error):
        _parse({**sample(f"fusionauth-{name}.json")["event"], **change})


def test_what_is_refused_is_no_error_since_a_login_may_wait_for_the_answer() -> None:
    assert FORMAT.entries is not None

    found = FORMAT.entries(Proven(b'{"event": {"type": "user.login.success"}}'))

    assert read_batch(found or (), lambda each: parse(each, CONTEXT)) == Parsed(refused=(Refused(0, "malformed_request"),))
