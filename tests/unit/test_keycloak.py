import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import CallerError, IssuerMismatchError, SenderUnsupportedError
from backchannel.reasons import Reason
from backchannel.sessions.events import RpSessionStarted, SessionEnded, SessionEvent, SubjectSessionsEnded
from backchannel.webhooks.formats import FORMATS
from backchannel.webhooks.keycloak import parse
from backchannel.webhooks.request import Context, Parsed, Proven, Request, SidTrust, UnmatchedSid
from tests.unit.fakes import EVENTS, sample, trust

ADA = "aaaaaaaa-0000-4000-8000-00000000ada1"
SID = "aaaaaaaa-0000-4000-8000-000000005e55"
FEDERATED = "f:6a1b:corp/ada"
ADMINISTRATOR = "bbbbbbbb-0000-4000-8000-0000000000ad"
AT = 1_788_249_600_123
CONTEXT = Context("https://keycloak.example/realms/customer", "claim", now=AT)

SAMPLES: Mapping[str, tuple[SessionEvent, ...]] = {
    "access.CODE_TO_TOKEN": (RpSessionStarted(sub=ADA, client_id="wiki", started_at=AT, sid=SID),),
    "access.LOGIN": (),
    "access.LOGOUT": (SessionEnded(SID, AT, "dddddddd-0000-4000-8000-000000000003", reason=Reason.LOGOUT),),
    "access.UPDATE_PASSWORD": (
        SubjectSessionsEnded(ADA, AT, "dddddddd-0000-4000-8000-000000000004", reason=Reason.CREDENTIAL_CHANGED),
    ),
    "access.LOGOUT_ERROR": (),
    "access.USER_SESSION_DELETED": (
        SessionEnded(SID, AT, "dddddddd-0000-4000-8000-000000000011", reason=Reason.SESSION_REVOKED),
    ),
    "access.USER_DISABLED_BY_PERMANENT_LOCKOUT": (
        SubjectSessionsEnded(ADA, AT, "dddddddd-0000-4000-8000-000000000012", reason=Reason.USER_DISABLED),
    ),
    "access.DELETE_ACCOUNT": (SubjectSessionsEnded(ADA, AT, "dddddddd-0000-4000-8000-000000000013", reason=Reason.USER_DELETED),),
    "access.REVOKE_GRANT": (
        SubjectSessionsEnded(ADA, AT, "dddddddd-0000-4000-8000-000000000014", "wiki", Reason.LOGOUT, "consent_revoked"),
    ),
    "access.REVOKE_GRANT-token": (
        SessionEnded(SID, AT, "dddddddd-0000-4000-8000-000000000015", "wiki", Reason.LOGOUT, None, "token_revoked"),
    ),
    "admin.USER-ACTION-logout": (
        SubjectSessionsEnded(ADA, AT, "dddddddd-0000-4000-8000-000000000006", reason=Reason.ADMIN_LOGOUT),
    ),
    "admin.USER-DELETE": (SubjectSessionsEnded(ADA, AT, "dddddddd-0000-4000-8000-000000000009", reason=Reason.USER_DELETED),),
    "admin.USER-UPDATE-disabled": (
        SubjectSessionsEnded(ADA, AT, "dddddddd-0000-4000-8000-000000000008", reason=Reason.USER_DISABLED),
    ),
    "admin.USER_SESSION-DELETE": (SessionEnded(SID, AT, "dddddddd-0000-4000-8000-000000000005", reason=Reason.ADMIN_LOGOUT),),
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)
types = st.sampled_from(
    [
        "access.CODE_TO_TOKEN",
        "access.LOGOUT",
        "access.UPDATE_PASSWORD",
        "access.UPDATE_CREDENTIAL",
        "access.USER_SESSION_DELETED",
        "access.USER_DISABLED_BY_PERMANENT_LOCKOUT",
        "access.DELETE_ACCOUNT",
        "access.REVOKE_GRANT",
        "admin.USER_SESSION-DELETE",
        "admin.USER-ACTION",
        "admin.USER-DELETE",
        "admin.USER-UPDATE",
        "admin.USER-CREATE",
    ]
)
changes = st.dictionaries(
    st.sampled_from(["type", "time", "uid", "authDetails", "details", "realmName", "resourcePath", "representation"]),
    anything
    | st.sampled_from(
        ["users/a", "users/a/logout", "users//logout", "users/f:a/b/consents/c", "sessions/", "{}", '{"enabled": false}']
    ),
)
inner_changes = st.fixed_dictionaries(
    {
        "authDetails": st.dictionaries(st.sampled_from(["userId", "sessionId", "clientId", "realmId"]), anything),
        "details": st.dictionaries(
            st.sampled_from(["reason", "revoked_client", "refresh_token_id", "credential_type"]), anything
        ),
    }
)


def test_every_sample_has_its_expectation() -> None:
    names = {path.name.removeprefix("keycloak-p2inc-").removesuffix(".json") for path in EVENTS.glob("keycloak*.json")}

    assert names == set(SAMPLES)


@pytest.mark.parametrize(("name", "events"), SAMPLES.items(), ids=SAMPLES)
def test_a_sample_is_read_as_its_session_event(name: str, events: tuple[SessionEvent, ...]) -> None:
    parsed = parse(Proven((EVENTS / f"keycloak-p2inc-{name}.json").read_bytes()), CONTEXT)

    assert parsed == Parsed(events, ignored=0 if events else 1)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name.startswith("admin.")])
def test_the_administrator_is_never_logged_out(name: str) -> None:
    document = sample(f"keycloak-p2inc-{name}.json")
    assert document["authDetails"]["userId"] == ADMINISTRATOR

    for event in _parse(document).events:
        assert ADMINISTRATOR not in repr(event)
        assert document["authDetails"]["clientId"] not in repr(event)


@pytest.mark.parametrize("name", SAMPLES)
def test_codes_and_token_ids_are_not_kept(name: str) -> None:
    document = sample(f"keycloak-p2inc-{name}.json")
    known = {ADA, SID}
    secret = {value for key, value in document["details"].items() if key.endswith("id") and value not in known}

    assert not [value for value in secret if value in repr(_parse(document))]


@pytest.mark.parametrize(
    ("sid_trust", "sid"), [("claim", SID), ("sha256", hashlib.sha256(SID.encode()).hexdigest()), ("none", None)]
)
def test_a_start_has_the_sid_that_the_source_is_trusted_with(sid_trust: SidTrust, sid: str | None) -> None:
    document = sample("keycloak-p2inc-access.CODE_TO_TOKEN.json")

    assert _parse(document, sid_trust).events == (RpSessionStarted(sub=ADA, client_id="wiki", started_at=AT, sid=sid),)


def test_a_logout_without_a_trusted_sid_ends_the_subjects_sessions() -> None:
    document = sample("keycloak-p2inc-access.LOGOUT.json")

    expected = SubjectSessionsEnded(ADA, AT, document["uid"], reason=Reason.LOGOUT)
    assert _parse(document, "none").events == (expected,)


@pytest.mark.parametrize("unmatched_sid", ["report", "end_subject"])
def test_the_end_of_an_unknown_session_ends_its_subject_where_the_source_says_so(unmatched_sid: UnmatchedSid) -> None:
    document = sample("keycloak-p2inc-access.LOGOUT.json")

    (event,) = _parse_in(replace(CONTEXT, unmatched_sid=unmatched_sid), document).events

    unmatched_sub = ADA if unmatched_sid == "end_subject" else None
    assert event == SessionEnded(SID, AT, document["uid"], reason=Reason.LOGOUT, unmatched_sub=unmatched_sub)


@pytest.mark.parametrize("unmatched_sid", ["report", "end_subject"])
def test_a_bad_user_id_beside_a_good_session_id_does_not_stop_the_end(unmatched_sid: UnmatchedSid) -> None:
    document = sample("keycloak-p2inc-access.LOGOUT.json")
    document["authDetails"]["userId"] = "a\n"

    parsed = _parse_in(replace(CONTEXT, unmatched_sid=unmatched_sid), document)

    assert parsed.events == (SessionEnded(SID, AT, document["uid"], reason=Reason.LOGOUT),)


@pytest.mark.parametrize("change", [{}, {"sessionId": None}, {"sessionId": ""}])
def test_a_logout_without_a_session_id_ends_the_subjects_sessions(change: dict[str, str | None]) -> None:
    document = sample("keycloak-p2inc-access.LOGOUT.json")
    del document["authDetails"]["sessionId"]
    document["authDetails"] |= change

    assert _parse(document).events == (SubjectSessionsEnded(ADA, AT, document["uid"], reason=Reason.LOGOUT),)


@pytest.mark.parametrize("name", ["access.LOGOUT", "access.USER_SESSION_DELETED"])
@pytest.mark.parametrize("reason", ["user_session_expired", "invalid_user_session_remember_me"])
def test_a_session_that_expired_ends_alone_and_by_that_reason(name: str, reason: str) -> None:
    document = sample(f"keycloak-p2inc-{name}.json") | {"details": {"reason": reason}}

    widest = replace(CONTEXT, unmatched_sid="end_subject")
    assert _parse_in(widest, document).events == (SessionEnded(SID, AT, document["uid"], reason=Reason.EXPIRED),)
    assert _parse(document, "none") == Parsed(unmappable=1)


def test_a_revoked_refresh_token_ends_its_clients_part_of_its_session() -> None:
    document = sample("keycloak-p2inc-access.REVOKE_GRANT.json")
    document["details"]["refresh_token_id"] = "t-1"
    document["authDetails"]["sessionId"] = SID

    assert _parse(document).events == (SessionEnded(SID, AT, document["uid"], "wiki", Reason.LOGOUT, cause="token_revoked"),)


@pytest.mark.parametrize("kind", ["admin.USER-ACTION", "admin.USER-DELETE"])
@pytest.mark.parametrize("user_id", [ADA, FEDERATED])
@pytest.mark.parametrize("client_id", ["wiki", "logout", "https://sp.example/saml/metadata"])
def test_a_consent_that_an_administrator_revoked_ends_that_clients_sessions(kind: str, user_id: str, client_id: str) -> None:
    document = sample("keycloak-p2inc-admin.USER-ACTION-logout.json") | {"type": kind}
    document["resourcePath"] = f"users/{user_id}/consents/{client_id}"

    expected = SubjectSessionsEnded(user_id, AT, document["uid"], client_id, Reason.LOGOUT, "consent_revoked")
    assert _parse(document).events == (expected,)


@pytest.mark.parametrize("user_id", [FEDERATED, "f:6a1b:ada", "f:6a1b:a/b/c", "f:6a1b:logout/logout", "f:6a1b:用户/\u00ad"])
@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("admin.USER-ACTION-logout", "users/{}/logout", Reason.ADMIN_LOGOUT),
        ("admin.USER-ACTION-logout", "users/{}/reset-password", Reason.CREDENTIAL_CHANGED),
        ("admin.USER-DELETE", "users/{}", Reason.USER_DELETED),
        ("admin.USER-UPDATE-disabled", "users/{}", Reason.USER_DISABLED),
    ],
)
def test_a_user_of_a_federated_store_is_logged_out_whatever_is_in_the_id(
    name: str, path: str, reason: Reason, user_id: str
) -> None:
    document = sample(f"keycloak-p2inc-{name}.json") | {"resourcePath": path.format(user_id)}

    assert _parse(document).events == (SubjectSessionsEnded(user_id, AT, document["uid"], reason=reason),)


@pytest.mark.parametrize("kind", ["LOGOUT", "LOGIN", "USER-DELETE", "USER_SESSION-DELETE", "CODE_TO_TOKEN", ""])
def test_types_of_the_extensions_other_sender_are_an_error_of_configuration(kind: str) -> None:
    with pytest.raises(SenderUnsupportedError):
        _parse(sample("keycloak-p2inc-access.LOGOUT.json") | {"type": kind})


@pytest.mark.parametrize("name", [name for name, events in SAMPLES.items() if events])
@pytest.mark.parametrize(
    ("issuer", "realm"),
    [
        ("https://keycloak.example/realms/other", None),
        ("https://keycloak.example/realms/other/", None),
        ("https://keycloak.example/auth/realms/Customer", None),
        ("https://keycloak.example/realms/customer", "other"),
        ("https://idp.example", "other"),
    ],
)
def test_an_event_of_another_realm_is_refused(name: str, issuer: str, realm: str | None) -> None:
    with pytest.raises(IssuerMismatchError):
        _parse_in(replace(CONTEXT, issuer=issuer, realm=realm), sample(f"keycloak-p2inc-{name}.json"))


@pytest.mark.parametrize(
    ("issuer", "realm", "named"),
    [
        ("https://keycloak.example/realms/customer", None, "customer"),
        ("https://keycloak.example/realms/customer/", None, "customer"),
        ("https://keycloak.example/realms/two%20words", None, "two words"),
        ("https://keycloak.example/realms/other", "customer", "customer"),
        ("https://idp.example", "customer", "customer"),
        ("https://idp.example", None, "any"),
        ("https://keycloak.example/realms/customer", None, None),
    ],
)
def test_an_event_of_the_sources_realm_is_read(issuer: str, realm: str | None, named: str | None) -> None:
    document = sample("keycloak-p2inc-access.LOGOUT.json") | {"realmName": named}

    assert _parse_in(replace(CONTEXT, issuer=issuer, realm=realm), document).events


def test_an_event_names_its_realm_where_the_source_does() -> None:
    document = sample("keycloak-p2inc-access.LOGOUT.json")
    del document["realmName"]

    with pytest.raises(IssuerMismatchError):
        _parse_in(replace(CONTEXT, realm="customer"), document)


@pytest.mark.parametrize(("sid_trust", "ends"), [("claim", True), ("none", False)])
def test_a_logout_without_a_user_ends_the_session_where_its_id_is_trusted(sid_trust: SidTrust, ends: bool) -> None:  # noqa: FBT001
    document = sample("keycloak-p2inc-access.LOGOUT.json")
    del document["authDetails"]["userId"]

    expected = (SessionEnded(SID, AT, document["uid"], reason=Reason.LOGOUT),) if ends else ()
    assert _parse(document, sid_trust).events == expected


def test_a_deleted_session_without_a_trusted_sid_cannot_be_mapped() -> None:
    document = sample("keycloak-p2inc-admin.USER_SESSION-DELETE.json")

    assert _parse(document, "none") == Parsed(unmappable=1)
    assert _parse(document | {"resourcePath": f"sessions/{SID}/more"}) == Parsed(unmappable=1)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("access.LOGIN", {}),
        ("access.LOGIN", {"type": "access.REFRESH_TOKEN"}),
        ("access.LOGIN", {"type": "admin.CLIENT-UPDATE"}),
        ("admin.USER-ACTION-logout", {"resourcePath": f"users/{ADA}/send-verify-email"}),
        ("admin.USER-ACTION-logout", {"resourcePath": f"clients/{ADA}/logout"}),
        ("admin.USER-DELETE", {"resourcePath": f"users/{ADA}/federated-identity/github"}),
        ("admin.USER-DELETE", {"resourcePath": f"users/{ADA}/credentials/c-1"}),
        ("admin.USER-DELETE", {"resourcePath": f"users/{ADA}/logout"}),
        ("admin.USER-DELETE", {"resourcePath": f"users/{FEDERATED}/federated-identity/github"}),
        ("admin.USER-DELETE", {"resourcePath": f"users/{FEDERATED}/credentials/c-1"}),
        ("admin.USER-ACTION-logout", {"resourcePath": f"users/{FEDERATED}/send-verify-email"}),
        ("admin.USER-ACTION-logout", {"resourcePath": f"users/{ADA}/corp/logout"}),
        ("admin.USER-UPDATE-disabled", {"resourcePath": f"users/{FEDERATED}/credentials/c-1/userLabel"}),
        ("access.REVOKE_GRANT", {"details": {"token_id": "t-1"}}),
        ("access.REVOKE_GRANT", {"details": None}),
        ("admin.USER-UPDATE-disabled", {"representation": '{"enabled": true}'}),
        ("admin.USER-UPDATE-disabled", {"representation": '{"username": "ada"}'}),
        ("admin.USER-UPDATE-disabled", {"representation": None}),
        ("admin.USER-UPDATE-disabled", {"representation": "{"}),
        ("admin.USER-UPDATE-disabled", {"representation": "[]"}),
        ("admin.USER-UPDATE-disabled", {"representation": "[" * 100_000}),
        ("admin.USER-UPDATE-disabled", {"representation": '{"enabled": 0}'}),
        ("admin.USER-UPDATE-disabled", {"resourcePath": f"users/{ADA}/role-mappings"}),
    ],
)
def test_what_ends_and_starts_nothing_is_ignored(name: str, change: dict[str, Any]) -> None:
    assert _parse(sample(f"keycloak-p2inc-{name}.json") | change) == Parsed(ignored=1)


def test_a_reset_password_ends_the_subjects_sessions() -> None:
    document = sample("keycloak-p2inc-admin.USER-ACTION-logout.json") | {"resourcePath": f"users/{ADA}/reset-password"}

    assert _parse(document).events == (SubjectSessionsEnded(ADA, AT, document["uid"], reason=Reason.CREDENTIAL_CHANGED),)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("access.LOGOUT", {"type": None}),
        ("access.LOGOUT", {"time": None}),
        ("access.LOGOUT", {"time": True}),
        ("access.LOGOUT", {"time": "1788249600123"}),
        ("access.LOGOUT", {"time": AT + 10**9}),
        ("access.LOGOUT", {"time": -1}),
        ("access.LOGOUT", {"uid": None}),
        ("access.LOGOUT", {"authDetails": None}),
        ("access.LOGOUT", {"authDetails": {}}),
        ("access.LOGOUT", {"authDetails": {"userId": ""}}),
        ("access.LOGOUT", {"authDetails": {"userId": ADA}, "details": {"reason": "user_session_expired"}}),
        ("access.USER_SESSION_DELETED", {"authDetails": {"userId": ADA}}),
        ("access.USER_DISABLED_BY_PERMANENT_LOCKOUT", {"authDetails": {}}),
        ("access.DELETE_ACCOUNT", {"authDetails": {"userId": None}}),
        ("access.REVOKE_GRANT", {"authDetails": {}}),
        ("access.REVOKE_GRANT", {"details": {"revoked_client": ""}}),
        ("admin.USER-ACTION-logout", {"resourcePath": f"users/{ADA}/consents/a\n"}),
        ("access.LOGOUT", {"authDetails": {"sessionId": ""}}),
        ("access.LOGOUT", {"authDetails": {"userId": ADA, "sessionId": []}}),
        ("access.CODE_TO_TOKEN", {"authDetails": {"userId": ADA, "sessionId": SID}}),
        ("access.CODE_TO_TOKEN", {"authDetails": {"clientId": "wiki", "sessionId": SID}}),
        ("access.UPDATE_PASSWORD", {"authDetails": {}}),
        ("admin.USER-DELETE", {"resourcePath": None}),
        ("admin.USER-DELETE", {"resourcePath": f"users/{'a' * 2049}"}),
    ],
)
def test_an_event_of_ours_that_does_not_say_who_or_when_is_refused(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        _parse(sample(f"keycloak-p2inc-{name}.json") | change)


def test_the_source_is_proved_by_keycloaks_header_over_the_body_alone() -> None:
    body = (EVENTS / "keycloak-p2inc-access.LOGOUT.json").read_bytes()
    signature = "410fbf204165dea459aa48c98052190d1aeb39153e217963b81f1613f51c7d87"

    proven = FORMATS["keycloak"].verify(Request(body, {"x-keycloak-signature": signature}), trust("kc-synthetic"), 0)

    assert proven == Proven(body)


@given(st.binary() | anything.map(json.dumps).map(str.encode))
def test_a_body_of_garbage_is_the_callers_fault(body: bytes) -> None:
    _parse_or_caller_error(body)


@given(st.sampled_from(list(SAMPLES)), types, changes, inner_changes)
def test_an_event_with_wrong_members_is_the_callers_fault(
    name: str, kind: str, change: dict[str, Any], inner: dict[str, dict[str, Any]]
) -> None:
    document = sample(f"keycloak-p2inc-{name}.json") | {"type": kind}
    document |= {member: document.get(member, {}) | changed for member, changed in inner.items()} | change

    _parse_or_caller_error(json.dumps(document).encode())


def _parse(document: Mapping[str, Any], sid_trust: SidTrust = "claim") -> Parsed:
    return _parse_in(replace(CONTEXT, sid_trust=sid_trust), document)


def _parse_in(context: Context, document: Mapping[str, Any]) -> Parsed:
    return parse(Proven(json.dumps(document).encode()), context)


def _parse_or_caller_error(body: bytes) -> None:
    try:
        parsed = parse(Proven(body), CONTEXT)
    except CallerError:
        return
    assert len(parsed.events) + parsed.ignored + parsed.unmappable == 1
