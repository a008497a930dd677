import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from backchannel.errors import (
    CallerError,
    EventTimeInvalidError,
    IdentifierInvalidError,
    MalformedRequestError,
    SignatureInvalidError,
)
from backchannel.reasons import Reason
from backchannel.sessions.events import SessionEnded, SubjectSessionsEnded
from backchannel.tokens.jws_verification import unverified
from backchannel.webhooks.hanko import FORMAT, parse
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Request, Trust
from tests.unit.fakes import EVENTS, sample

USER, SID = "8f3c0000-0000-4000-8000-000000000001", "5e550000-0000-4000-8000-000000000001"
AT = 1_788_249_600_000
ENDED = AT + 999
CONTEXT = Context("https://hanko.example.test", "claim", now=AT + 5_000)

LOGOUT, EXPIRE = "session.delete.explicit.logout", "session.delete.passive.expire"
SAMPLES: Mapping[str, Parsed] = {
    "session.delete": Parsed((SessionEnded(SID, ENDED, f"{LOGOUT}:{SID}", reason=Reason.LOGOUT),)),
    "session.delete.passive.expire-inferred": Parsed((SessionEnded(SID, ENDED, f"{EXPIRE}:{SID}", reason=Reason.EXPIRED),)),
    "user.delete-inferred": Parsed((SubjectSessionsEnded(USER, ENDED, f"user.delete:{USER}", reason=Reason.USER_DELETED),)),
}

KEY = ECKey.generate_key("P-256", {"kid": "hanko"})


def _verified(token: str) -> tuple[str | None, Mapping[str, Any]]:
    found = unverified(token)
    found.verify([KEY.as_dict(private=False)])
    return found.typ, found.claims


TRUST = Trust(list, _verified, "https://hanko.example.test", audience="hanko")
CLAIMS: Mapping[str, Any] = sample("hanko-session.delete.json")["jwt_payload"]


def _request(event: str = LOGOUT, typ: str | None = None, key: ECKey = KEY, **change: Any) -> Request:
    claims = {name: value for name, value in {**CLAIMS, **change}.items() if value is not ...}
    header = {"alg": "ES256", "kid": "hanko", **({} if typ is None else {"typ": typ})}
    return Request(json.dumps({"token": jwt.encode(header, claims, key, default_type=None), "event": event}).encode(), {})


def _parse(claims: Mapping[str, Any], context: Context = CONTEXT) -> Parsed:
    return parse(Proven(json.dumps(claims).encode()), context)


def test_every_sample_has_its_expectation() -> None:
    assert {path.name.removeprefix("hanko-").removesuffix(".json") for path in EVENTS.glob("hanko-*")} == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str) -> None:
    assert _parse(sample(f"hanko-{name}.json")["jwt_payload"]) == SAMPLES[name]


def test_a_session_whose_id_is_not_trusted_ends_its_user_s_sessions() -> None:
    (event,) = _parse(CLAIMS, replace(CONTEXT, sid_trust="none")).events

    assert event == SubjectSessionsEnded(USER, ENDED, f"{LOGOUT}:{SID}", reason=Reason.LOGOUT)


@pytest.mark.parametrize("kind", [EXPIRE, "session.delete.passive.limit"])
def test_a_session_that_hanko_ended_says_nothing_about_the_user_s_other_ones(kind: str) -> None:
    expired = {**CLAIMS, "evt": kind}

    assert _parse(expired, replace(CONTEXT, sid_trust="none")) == UNMAPPABLE
    (event,) = _parse(expired, replace(CONTEXT, unmatched_sid="end_subject")).events
    assert isinstance(event, SessionEnded)
    assert event.unmatched_sub is None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("session.delete", Reason.LOGOUT),
        ("session.delete.explicit.logout", Reason.LOGOUT),
        ("session.delete.explicit.revoke", Reason.SESSION_REVOKED),
        ("session.delete.admin.revoke", Reason.ADMIN_LOGOUT),
        ("session.delete.passive.expire", Reason.EXPIRED),
        ("session.delete.passive.limit", Reason.LOGOUT),
        ("session.delete.of.another.kind", Reason.LOGOUT),
    ],
)
def test_what_deleted_a_session_is_the_reason(kind: str, reason: Reason) -> None:
    (event,) = _parse({**CLAIMS, "evt": kind}).events

    assert event == SessionEnded(SID, ENDED, f"{kind}:{SID}", reason=reason)


@pytest.mark.parametrize("kind", ["session.create", "session.deleted", "user", "user.update.email", "email.send", ""])
def test_other_types_are_ignored_whatever_they_hold(kind: str) -> None:
    assert _parse({"evt": kind}) == IGNORED


def test_the_event_within_the_token_is_read_and_not_the_one_beside_it() -> None:
    proven = FORMAT.verify(_request(event="user.delete"), TRUST, AT)

    assert parse(proven, CONTEXT) == SAMPLES["session.delete"]


@pytest.mark.parametrize("change", [{}, {"typ": "JWT"}, {"aud": "hanko"}, {"aud": ["other", "hanko"]}, {"iss": "anybody"}])
def test_a_token_for_this_source_proves_its_claims(change: dict[str, Any]) -> None:
    assert json.loads(FORMAT.verify(_request(**change), TRUST, AT).body)["data"]["id"] == SID


@pytest.mark.parametrize(
    "change",
    [
        *({"aud": ["other"]}, {"aud": ...}, {"aud": []}, {"exp": AT // 1000}, {"exp": ...}, {"exp": AT // 1000 + 3601}),
        *({"iat": AT // 1000 + 61}, {"evt": ...}, {"evt": 7}, {"sub": USER}, {"sub": ...}, {"typ": "logout+jwt"}),
        {"key": ECKey.generate_key("P-256", {"kid": "hanko"})},
    ],
)
def test_a_token_of_another_audience_time_kind_or_key_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureInvalidError):
        FORMAT.verify(_request(**change), TRUST, AT)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"token": 7}', b'{"token": "x"}', b'{"event": "user.delete"}', b"[]"])
def test_a_body_without_a_token_is_refused(body: bytes) -> None:
    with pytest.raises(SignatureInvalidError):
        FORMAT.verify(Request(body, {}), TRUST, AT)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"evt": None}, MalformedRequestError),
        ({"evt": "session.delete.\x00"}, IdentifierInvalidError),
        ({"data": None}, MalformedRequestError),
        ({"data": {"user_id": USER}}, IdentifierInvalidError),
        ({"iat": None}, MalformedRequestError),
        ({"iat": 7}, EventTimeInvalidError),
    ],
)
def test_an_event_that_does_not_say_what_ended_is_refused(change: Mapping[str, Any], error: type[CallerError]) -> None:
    with pytest.raises(error):
        _parse({**CLAIMS, **change})
