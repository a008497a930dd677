"""What of a signed SET is accepted (RFC 8417; SSF 1.0, section 4.1), what it means, and how its sender is answered (RFC 8935)."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.api.webhooks import WebhookReceiver, session_events
from backchannel.aws.secrets import Secrets
from backchannel.errors import (
    AudienceMismatchError,
    CallerError,
    IssuerMismatchError,
    NotFoundError,
    SecurityEventTokenInvalidError,
    SignatureInvalidError,
    VerificationStateMismatchError,
)
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.reasons import Reason
from backchannel.sessions.events import SessionEnded, SubjectSessionsEnded
from backchannel.sessions.intake import Intake
from backchannel.sessions.messages import EndMessage
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.request import IGNORED, UNMAPPABLE, Context, Parsed, Proven, Request, Trust
from backchannel.webhooks.security_event_tokens import FORMAT, MAX_AGE, parse, verify
from tests.support import deployed
from tests.support.json_values import json_values
from tests.support.queues import FakeQueue
from tests.support.signing import ring
from tests.support.uncounted import UNCOUNTED
from tests.unit.conftest import Log
from tests.unit.fakes import ISSUER, sample

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")

IAT = 1_788_249_600
NOW = IAT * 1000 + 10_000
AUDIENCE = "https://hub.example.test/in/ssf"
CAEP, RISC, SSF, OAUTH = (f"https://schemas.openid.net/secevent/{of}/event-type/" for of in ("caep", "risc", "ssf", "oauth"))
ADA = {"format": "iss_sub", "iss": ISSUER, "sub": "ada"}
SESSION = {"format": "opaque", "id": "sid-0001"}
REVOKED, PURGED = f"{CAEP}session-revoked", f"{RISC}account-purged"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "jti": "set-1",
    "iat": IAT,
    "aud": AUDIENCE,
    "txn": "txn-1",
    "sub_id": ADA,
    "events": {PURGED: {}},
}
HEADERS = {"content-type": "application/secevent+jwt"}
STATIC = "Bearer a-static-secret-of-32-characters"


def _verify(
    claims: dict[str, Any], typ: str | None = "secevent+jwt", now: int = NOW, headers: dict[str, str] = HEADERS, **rules: Any
) -> Proven:
    trust = Trust(**{"secrets": list, "verified_jwt": lambda _: (typ, claims), "issuer": ISSUER, "audience": AUDIENCE, **rules})
    return verify(Request(b"a.b.c", headers), trust, now)


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


def _parse(event: str, members: dict[str, Any] | None = None, about: object = ADA, **settings: Any) -> Parsed:
    context = Context(**{"issuer": ISSUER, "sid_trust": "claim", "now": NOW, **settings})
    return parse(Proven(json.dumps({**CLAIMS, "sub_id": about, "events": {event: members or {}}}).encode()), context)


def _user(reason: Reason, at: int = IAT * 1000 + 999, cause: Any = None) -> Parsed:
    return Parsed((SubjectSessionsEnded("ada", at, "set-1", reason=reason, cause=cause),))


# --- verification -----------------------------------------------------------------------------------------------------


def test_a_set_for_this_stream_is_proven() -> None:
    assert json.loads(_verify(CLAIMS).body) == CLAIMS


@pytest.mark.parametrize("typ", ["secevent+jwt", "application/secevent+jwt", "SECEVENT+JWT"])
def test_typ_says_that_a_token_is_a_set(typ: str) -> None:
    assert _verify(CLAIMS, typ)


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "logout+jwt", "secevent", "xsecevent+jwt", ""])
def test_another_typ_is_refused_unless_the_source_tolerates_it(typ: str | None) -> None:
    with pytest.raises(SignatureInvalidError, match="typ"):
        _verify(CLAIMS, typ)

    assert _verify(CLAIMS, typ, tolerate_typ=True)


@pytest.mark.parametrize("kind", ["application/json", "application/jwt", "application/x-www-form-urlencoded", "", "text/plain"])
def test_a_set_that_comes_as_something_else_is_refused(kind: str) -> None:
    with pytest.raises(SignatureInvalidError, match="content type"):
        _verify(CLAIMS, headers={"content-type": kind})


def test_parameters_and_case_of_the_content_type_do_not_matter() -> None:
    assert _verify(CLAIMS, headers={"content-type": "Application/SecEvent+JWT; charset=utf-8"})


@pytest.mark.parametrize("iss", [ISSUER.rstrip("/"), "https://other.example/", None, 7])
def test_another_issuer_is_refused(iss: object) -> None:
    with pytest.raises(IssuerMismatchError):
        _verify({**CLAIMS, "iss": iss})


@pytest.mark.parametrize("aud", ["https://other.example/", [], ["other"], None, 7, {AUDIENCE: 1}, [[AUDIENCE]]])
def test_another_audience_is_refused(aud: object) -> None:
    with pytest.raises(AudienceMismatchError):
        _verify({**CLAIMS, "aud": aud})


def test_without_an_audience_nobody_is_meant() -> None:
    with pytest.raises(AudienceMismatchError):
        _verify({**CLAIMS, "aud": None}, audience=None)


def test_the_audience_may_be_one_of_many() -> None:
    assert _verify({**CLAIMS, "aud": ["other", AUDIENCE]})


@pytest.mark.parametrize("events", [None, [], "events"])
def test_a_token_without_events_is_no_set(events: object) -> None:
    with pytest.raises(SignatureInvalidError, match="events"):
        _verify({**CLAIMS, "events": events})


@pytest.mark.parametrize(
    "claims",
    [
        *({**CLAIMS, "exp": IAT + 120}, {**CLAIMS, "exp": None}, {**CLAIMS, "sub": "ada"}, {**CLAIMS, "sub": None}),
        *(_without("jti"), {**CLAIMS, "jti": 7}, {**CLAIMS, "jti": ""}, {**CLAIMS, "jti": "a\x00"}),
        *(_without("iat"), {**CLAIMS, "iat": str(IAT)}, {**CLAIMS, "iat": True}, {**CLAIMS, "iat": IAT * 1000}),
        *({**CLAIMS, "events": {}}, {**CLAIMS, "events": {PURGED: None}}, {**CLAIMS, "events": {PURGED: {}, "other": []}}),
    ],
)
def test_what_no_set_may_be_is_refused_by_verify_and_in_a_preview(claims: dict[str, Any]) -> None:
    with pytest.raises(CallerError) as refused:
        _verify(claims)
    with pytest.raises(CallerError):
        parse(Proven(json.dumps(claims).encode()), Context(ISSUER, "claim", NOW))

    assert not isinstance(refused.value, SignatureInvalidError)


@pytest.mark.parametrize(("seconds", "is_taken"), [(0, True), (MAX_AGE, True), (MAX_AGE + 1, False), (-300, True), (-301, False)])
def test_a_set_is_taken_for_seven_days_and_from_a_clock_that_is_little_ahead(seconds: int, *, is_taken: bool) -> None:
    now = (IAT + seconds) * 1000
    if is_taken:
        assert _verify(CLAIMS, now=now)
    else:
        with pytest.raises(SecurityEventTokenInvalidError, match="iat"):
            _verify(CLAIMS, now=now)


@pytest.mark.parametrize(
    ("header", "secrets", "is_taken"),
    [
        (STATIC, [STATIC], True),
        (STATIC, ["another-secret-of-24-characters", STATIC], True),
        (f"{STATIC}x", [STATIC], False),
        (STATIC.removeprefix("Bearer "), [STATIC], False),
        (None, [STATIC], False),
        (STATIC, [], False),
        (None, [], False),
    ],
)
def test_where_the_source_has_a_secret_header_and_signature_must_hold(
    header: str | None, secrets: list[str], *, is_taken: bool
) -> None:
    headers = HEADERS if header is None else {**HEADERS, "authorization": header}
    if is_taken:
        assert _verify(CLAIMS, headers=headers, secrets=lambda: secrets, has_secret=True)
        with pytest.raises(SignatureInvalidError):
            _verify(CLAIMS, "JWT", headers=headers, secrets=lambda: secrets, has_secret=True)
    else:
        with pytest.raises(SignatureInvalidError):
            _verify(CLAIMS, headers=headers, secrets=lambda: secrets, has_secret=True)


def test_where_the_source_has_no_secret_any_header_will_do() -> None:
    assert _verify(CLAIMS, headers={**HEADERS, "authorization": "Basic eDp5"})


def test_a_body_that_is_no_token_is_refused() -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request("é".encode(), HEADERS), Trust(list, lambda _: ("", {}), ISSUER, AUDIENCE), NOW)


# --- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        *(("user", Reason.LOGOUT), ("admin", Reason.ADMIN_LOGOUT), ("policy", Reason.SESSION_REVOKED)),
        *(("system", Reason.SESSION_REVOKED), (None, Reason.SESSION_REVOKED), (["user"], Reason.SESSION_REVOKED)),
    ],
)
def test_who_revoked_a_session_is_the_reason(by: object, reason: Reason) -> None:
    assert _parse(REVOKED, {"initiating_entity": by}, SESSION) == Parsed(
        (SessionEnded("sid-0001", IAT * 1000 + 999, "set-1", reason=reason),)
    )


@pytest.mark.parametrize(
    ("event", "members", "reason", "cause"),
    [
        (f"{CAEP}credential-change", {"change_type": "update"}, Reason.CREDENTIAL_CHANGED, None),
        (f"{CAEP}credential-change", {"change_type": "revoke"}, Reason.CREDENTIAL_CHANGED, None),
        (f"{RISC}account-disabled", {}, Reason.USER_DISABLED, None),
        (f"{RISC}account-disabled", {"reason": "bulk-account"}, Reason.USER_DISABLED, None),
        (f"{RISC}account-disabled", {"reason": "hijacking"}, Reason.COMPROMISED, None),
        (PURGED, {}, Reason.USER_DELETED, None),
        (f"{RISC}credential-compromise", {"credential_type": "password"}, Reason.COMPROMISED, None),
        (f"{RISC}sessions-revoked", {}, Reason.SESSION_REVOKED, None),
        (f"{RISC}account-credential-change-required", {}, Reason.CREDENTIAL_CHANGED, "credential_change_required"),
        (f"{OAUTH}tokens-revoked", {}, Reason.LOGOUT, "token_revoked"),
    ],
)
def test_an_event_of_a_user_ends_all_sessions_of_the_user(
    event: str, members: dict[str, Any], reason: Reason, cause: str | None
) -> None:
    assert _parse(event, members) == _user(reason, cause=cause)


@pytest.mark.parametrize("event", [f"{CAEP}credential-change", f"{RISC}account-disabled", PURGED, f"{RISC}sessions-revoked"])
@pytest.mark.parametrize("beside", [{}, {"tenant": {"format": "opaque", "id": "acme"}}])
def test_the_session_in_which_it_happened_does_not_narrow_what_is_about_a_user(event: str, beside: dict[str, Any]) -> None:
    whole = _parse(event)
    about = {"format": "complex", "user": CLAIMS["sub_id"], "session": SESSION, **beside}

    assert _parse(event, about=about) == whole
    (of_session,) = _parse(REVOKED, about=about).events
    on_phone = {**about, "device": {"format": "opaque", "id": "phone"}}
    (on_device,) = _parse(event, about=on_phone).events
    assert _parse(event, about=on_phone, widen_subjects=True) == whole
    assert isinstance(of_session, SessionEnded)
    assert isinstance(on_device, SessionEnded)


@pytest.mark.parametrize(
    "event",
    [
        *(f"{CAEP}{name}" for name in ("session-established", "session-presented", "assurance-level-change")),
        *(f"{CAEP}{name}" for name in ("token-claims-change", "device-compliance-change", "risk-level-change")),
        *(f"{RISC}{name}" for name in ("account-enabled", "identifier-changed", "identifier-recycled", "opt-out-effective")),
        *(f"{RISC}{name}" for name in ("recovery-activated", "recovery-information-changed")),
        *(f"{OAUTH}token-revoked", "https://schemas.okta.com/secevent/okta/event-type/user-risk-change", "urn:x"),
    ],
)
def test_an_event_that_ends_nothing_is_ignored_whatever_its_subject(event: str) -> None:
    assert _parse(event, about=None) == _parse(event, about=7) == _parse(event) == IGNORED


def test_what_is_no_session_s_end_is_off_unless_it_is_chosen() -> None:
    provider, source = Provider("acme", ISSUER, ring()), Source("ssf", "security-event-token", None, audience=AUDIENCE)
    proven = Proven(json.dumps({**CLAIMS, "events": {f"{OAUTH}tokens-revoked": {}}}).encode())

    by_default = session_events(proven, provider, source, _unknown, NOW)
    chosen = session_events(proven, provider, replace(source, ends_sessions=("token_revoked",)), _unknown, NOW)

    assert (by_default.events, by_default.ignored, by_default.not_chosen) == ((), 1, ("token_revoked",))
    assert len(chosen.events) == 1
    assert {"token_revoked", "credential_change_required"}.isdisjoint(FORMAT.ends_sessions)


def test_an_end_of_nobody_is_unmappable() -> None:
    stranger = {**ADA, "iss": "https://other.example/"}

    assert _parse(PURGED, about=stranger) == _parse(REVOKED, about={"format": "email", "email": "a@example.test"}) == UNMAPPABLE
    assert _parse(PURGED, about=None) == UNMAPPABLE
    assert _parse(PURGED, about=SESSION) == UNMAPPABLE, "nothing says that an opaque id is a sub"


def test_a_session_is_trusted_as_the_source_says() -> None:
    about = {"format": "complex", "session": SESSION, "user": ADA}

    assert _parse(REVOKED, about=SESSION, sid_trust="none") == UNMAPPABLE
    (hashed,) = _parse(REVOKED, about=SESSION, sid_trust="sha256").events
    assert isinstance(hashed, SessionEnded)
    assert hashed.sid != "sid-0001"
    (end,) = _parse(REVOKED, about=about, unmatched_sid="end_subject").events
    assert isinstance(end, SessionEnded)
    assert (end.sid, end.unmatched_sub) == ("sid-0001", "ada")


def test_a_session_beside_a_user_without_an_address_is_ended() -> None:
    about = {"format": "complex", "session": SESSION, "user": {"format": "email", "email": ""}}

    assert len(_parse(REVOKED, about=about, email_is_sub=True).events) == 1


def test_session_revoked_of_a_user_means_all_sessions_in_ssf_1_and_nothing_in_a_draft() -> None:
    in_draft = {"subject": ADA}

    assert _parse(REVOKED) == _user(Reason.SESSION_REVOKED)
    assert _parse(REVOKED, in_draft, None) == UNMAPPABLE
    assert _parse(REVOKED, unnamed_session="report") == UNMAPPABLE
    assert _parse(REVOKED, in_draft, None, unnamed_session="end_subject") == _user(Reason.SESSION_REVOKED)
    assert _parse(f"{RISC}sessions-revoked", in_draft, None) == _user(Reason.SESSION_REVOKED), "which says all of them"


def test_every_session_is_meant_however_the_user_is_named() -> None:
    every = {"user": ADA, "session": {"format": "opaque", "id": "ALL"}}

    assert _parse(REVOKED, {"subject": every}, None, unnamed_session="report") == _user(Reason.SESSION_REVOKED)


def test_the_subject_of_the_set_goes_before_that_within_the_event() -> None:
    grace = {**ADA, "sub": "grace"}

    assert _parse(PURGED, {"subject": grace}) == _user(Reason.USER_DELETED)


@pytest.mark.parametrize(
    ("given_", "at"),
    [
        (IAT - 60, (IAT - 60) * 1000 + 999),
        (IAT - 60.5, (IAT - 60) * 1000 - 500),
        ((IAT - 60) * 1000 + 123, (IAT - 60) * 1000 + 123),
        (None, IAT * 1000 + 999),
        (IAT + 10, NOW),
        (IAT + 200, NOW),
    ],
)
def test_an_end_is_of_its_event_s_time_in_either_unit(given_: object, at: int) -> None:
    assert _parse(PURGED, {"event_timestamp": given_}) == _user(Reason.USER_DELETED, at)


@pytest.mark.parametrize("given_", ["2026-09-01T10:00:00Z", True, [], IAT + 400, 0, -1, 10**400, 1e300])
def test_a_time_that_cannot_be_is_refused(given_: object) -> None:
    with pytest.raises(CallerError):
        _parse(PURGED, {"event_timestamp": given_})


def test_unknown_members_and_types_beside_a_known_one_are_ignored() -> None:
    claims = {**CLAIMS, "x": 1, "events": {"urn:alias": {"x": 1}, PURGED: {"https://x.example/": {}}}}

    assert parse(Proven(json.dumps(claims).encode()), Context(ISSUER, "claim", NOW)) == _user(Reason.USER_DELETED)


def test_several_types_are_one_event_or_refused() -> None:
    same = {**CLAIMS, "events": {f"{RISC}credential-compromise": {}, f"{RISC}account-disabled": {"reason": "hijacking"}}}
    other = {**CLAIMS, "events": {PURGED: {}, f"{RISC}account-disabled": {}}}
    context = Context(ISSUER, "claim", NOW)

    assert parse(Proven(json.dumps(same).encode()), context) == _user(Reason.COMPROMISED)
    with pytest.raises(SecurityEventTokenInvalidError, match="more than one event"):
        parse(Proven(json.dumps(other).encode()), context)


@pytest.mark.parametrize("of", [SSF, RISC])
@pytest.mark.parametrize(
    ("state", "ours", "is_right"),
    [
        *((None, None, True), (None, "c3RhdGU=", True), ("anything", None, True), ("c3RhdGU=", "c3RhdGU=", True)),
        *(("c3RhdGV=", "c3RhdGU=", False), ("", "c3RhdGU=", False), (7, "c3RhdGU=", False), ("\ud800", "c3RhdGU=", False)),
    ],
)
def test_the_state_of_a_verification_is_none_or_ours(of: str, state: object, ours: str | None, *, is_right: bool) -> None:
    about = {"format": "opaque", "id": "stream-1"}
    if is_right:
        assert _parse(f"{of}verification", {"state": state}, about, verification_state=ours) == IGNORED
    else:
        with pytest.raises(VerificationStateMismatchError):
            _parse(f"{of}verification", {"state": state}, about, verification_state=ours)


@pytest.mark.parametrize(
    ("members", "stopped"),
    [
        ({"status": "paused", "reason": "maintenance"}, ("paused: 'maintenance'",)),
        ({"status": "disabled"}, ("disabled",)),
        ({"status": "disabled", "reason": ["x"]}, ("disabled",)),
        ({"status": "enabled", "reason": "back again"}, ()),
        ({"status": ["paused"]}, ()),
        ({}, ()),
    ],
)
def test_a_stream_that_stops_says_so(members: dict[str, Any], stopped: tuple[str, ...]) -> None:
    assert _parse(f"{SSF}stream-updated", members) == Parsed(ignored=1, stopped=stopped)


_MEMBERS = st.dictionaries(
    st.sampled_from(["subject", "event_timestamp", "initiating_entity", "reason", "state", "status", "x"]), json_values
)
_EVENTS = st.dictionaries(st.sampled_from([REVOKED, PURGED, f"{SSF}verification", f"{SSF}stream-updated", "x"]), _MEMBERS)


@given(st.dictionaries(st.sampled_from([*CLAIMS, "exp", "sub"]), json_values), _EVENTS, json_values)
def test_any_claims_are_read_or_refused(claims: dict[str, Any], events: dict[str, Any], about: object) -> None:
    for document in (claims, {**CLAIMS, **claims}, {**CLAIMS, "events": events, "sub_id": about}):
        context = Context(ISSUER, "claim", NOW, unnamed_session="end_subject", verification_state="x", email_is_sub=True)
        try:
            parse(Proven(json.dumps(document).encode()), context)
        except CallerError:
            continue


@given(_EVENTS)
def test_a_repeated_set_gives_the_same_events(events: dict[str, Any]) -> None:
    proven = Proven(json.dumps({**CLAIMS, "events": events}).encode())
    answers: list[Parsed | type[CallerError]] = []
    for _ in range(2):
        try:
            answers.append(parse(proven, Context(ISSUER, "claim", NOW)))
        except CallerError as error:
            answers.append(type(error))

    assert answers[0] == answers[1]


# --- how the sender is answered ---------------------------------------------------------------------------------------

ACME = Provider("acme", ISSUER, ring())
SOURCE = Source("ssf", "security-event-token", None, audience=AUDIENCE)
EVENT = {
    "resource": "/webhooks/{provider}/{source}",
    "httpMethod": "POST",
    "pathParameters": {"provider": "acme", "source": "ssf"},
    "multiValueHeaders": {"Content-Type": ["application/secevent+jwt"]},
    "body": "a.b.c",
    "isBase64Encoded": False,
}

type Answer = Callable[..., dict[str, Any]]


def _unknown(*names: str) -> Any:
    raise NotFoundError.of("provider, source or client", names[-1])


class NoSessions:
    """No session starts here."""


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    for name, value in {**deployed.ENVIRONMENT, "AWS_DEFAULT_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(name, value)

    def send(
        claims: dict[str, Any],
        typ: str | None = "secevent+jwt",
        *,
        source: Callable[..., Source] = lambda *_: SOURCE,
        queue: FakeQueue | None = None,
        is_signed: bool = True,
        **event: Any,
    ) -> dict[str, Any]:
        def verified(*_: object) -> tuple[str | None, dict[str, Any]]:
            if not is_signed:
                raise SignatureInvalidError("the signature is not that of the key")
            return typ, claims

        function: ModuleType = deployed.load("webhook")
        function.receiver = WebhookReceiver(  # type: ignore[attr-defined]
            provider=lambda _: ACME,
            source=source,
            client=_unknown,
            secrets=cast("Secrets", SimpleNamespace(get=lambda _: [STATIC, STATIC.removeprefix("Bearer ")])),
            intake=Intake(cast("Any", NoSessions()), queue or FakeQueue()),
            sender_keys=lambda: cast("Any", SimpleNamespace(verified=verified)),
            counter=UNCOUNTED,
        )
        function.time = SimpleNamespace(time=lambda: NOW / 1000)  # type: ignore[attr-defined]
        context = SimpleNamespace(
            function_name="webhook",
            memory_limit_in_mb=1,
            invoked_function_arn="arn:aws:lambda:x:1:function:f",
            aws_request_id="1",
        )
        answered: dict[str, Any] = function.handler(EVENT | event, context)
        return answered

    return send


@pytest.mark.usefixtures("no_metrics")
def test_a_set_is_answered_202_and_nothing_else(answer: Answer) -> None:
    queue = FakeQueue()

    assert answer(CLAIMS, queue=queue) == {"statusCode": 202, "headers": {}, "body": ""}
    (message,) = [EndMessage.from_json(message.body) for message in queue.sent]
    assert (message.sub, message.reason, message.source_event_id) == ("ada", "user_deleted", "set-1")


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize("events", [{"urn:x": {}}, {f"{SSF}verification": {"state": None}}])
def test_what_means_nothing_here_is_answered_202_too(answer: Answer, events: dict[str, Any]) -> None:
    queue = FakeQueue()

    assert answer({**CLAIMS, "events": events}, queue=queue) == {"statusCode": 202, "headers": {}, "body": ""}
    assert answer({**CLAIMS, "sub_id": {**ADA, "iss": "x"}}, queue=queue)["statusCode"] == 202
    assert queue.sent == []


@pytest.mark.usefixtures("no_metrics")
@pytest.mark.parametrize(
    ("claims", "err"),
    [
        (sample("set-invalid-exp.json"), "invalid_request"),
        (sample("set-invalid-aud.json"), "invalid_audience"),
        ({**CLAIMS, "iss": "https://other.example/"}, "invalid_issuer"),
        ({**CLAIMS, "events": {f"{SSF}verification": {"state": "theirs"}}}, "invalid_state"),
        ({**CLAIMS, "iat": IAT - MAX_AGE}, "invalid_request"),
        ({**CLAIMS, "sub_id": {"format": "iss_sub"}}, "invalid_request"),
        ({**CLAIMS, "sub_id": {**ADA, "sub": ""}}, "invalid_request"),
        ({**CLAIMS, "events": {PURGED: {"event_timestamp": 1}}}, "invalid_request"),
        ({**CLAIMS, "events": None}, "authentication_failed"),
    ],
)
def test_what_is_wrong_is_answered_as_rfc_8935_says(answer: Answer, claims: dict[str, Any], err: str) -> None:
    audience = "https://hub.example.test/webhooks/idp/ssf" if "9006" in str(claims["jti"]) else AUDIENCE
    source = replace(SOURCE, audience=audience, verification_state="ours")
    documented = sample("rfc8935-responses.json")

    answered = answer(claims, source=lambda *_: source)

    assert (answered["statusCode"], answered["headers"]) == (documented["error"]["status"], documented["error"]["headers"])
    body = json.loads(answered["body"])
    assert body.keys() == documented["error"]["body"].keys()
    assert body["err"] == err
    assert err in {each.split()[0] for each in documented["err_codes"]}
    assert "ada" not in answered["body"]


@pytest.mark.usefixtures("no_metrics")
def test_an_error_is_answered_octet_by_octet(answer: Answer) -> None:
    assert answer({**CLAIMS, "exp": 1})["body"] == '{"err": "invalid_request", "description": "exp must not be there"}'


BEARER = Source("app", "bearer", "secret")
LOGOUT = Source("relay", "logout-token", None)


@pytest.mark.usefixtures("no_metrics")
def test_whoever_proves_nothing_gets_one_answer_whichever_sources_there_are(answer: Answer) -> None:
    proven_bearer = {"multiValueHeaders": {**EVENT["multiValueHeaders"], "Authorization": [STATIC]}}  # type: ignore[dict-item]
    answers = [
        answer(CLAIMS, is_signed=False),
        answer(CLAIMS, "JWT"),
        answer({**CLAIMS, "events": None}),
        answer(CLAIMS, source=_unknown),
        *(answer(CLAIMS, source=lambda *_, each=each: each) for each in (BEARER, LOGOUT, replace(SOURCE, secret_name="secret"))),
        answer(CLAIMS, source=lambda *_: BEARER, body='{"type": "x", "id": "1"}', **proven_bearer),
        answer(CLAIMS, is_signed=False, body=""),
        answer(CLAIMS, is_signed=False, body="é" * 100),
    ]

    assert all(each == answers[0] for each in answers)
    assert json.loads(answers[0]["body"])["err"] == "authentication_failed"


@pytest.mark.usefixtures("no_metrics")
def test_something_else_at_a_source_of_sets_is_answered_as_anywhere(answer: Answer) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", "application/jwt"):
        event = {"multiValueHeaders": {"Content-Type": [kind]}}

        assert answer(CLAIMS, **event) == answer(CLAIMS, source=_unknown, **event)


@pytest.mark.usefixtures("no_metrics")
def test_a_set_that_cannot_be_queued_is_to_be_sent_again(answer: Answer) -> None:
    answered = answer(CLAIMS, queue=FakeQueue(broken=True))

    assert answered["statusCode"] == 503
    assert answered["headers"]["Retry-After"]


def test_a_stream_that_stops_is_logged_and_counted(answer: Answer, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    answer({**CLAIMS, "events": {f"{SSF}stream-updated": {"status": "paused", "reason": "x" * 500}}})

    (line,) = [json.loads(line) for line in log.text.splitlines() if "webhook.stream_stopped" in line]
    assert (line["provider"], line["source"], line["level"]) == ("acme", "ssf", "WARNING")
    assert line["status"] == f"paused: '{'x' * 64}…'"
    (written,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "StreamsStopped" in line]
    assert written["StreamsStopped"] == [1.0]


def test_a_cold_webhook_imports_nothing_of_sets() -> None:
    root = Path(__file__).resolve().parents[2]
    program = (
        "import os, sys; from tests.support.deployed import ENVIRONMENT, load;"
        "os.environ |= {**ENVIRONMENT, 'AWS_DEFAULT_REGION': 'eu-central-1'}; load('webhook');"
        "print([name for name in sys.modules if name.endswith(('security_event_tokens', 'webhooks.subjects'))])"
    )
    environment = {"PYTHONPATH": f"{root}:{root / 'layers' / 'backchannel'}"}

    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True, env=environment)  # noqa: S603

    assert run.stdout.splitlines()[-1] == "[]"


def test_senders_take_202_for_success() -> None:
    assert FORMATS["security-event-token"].success == 202
