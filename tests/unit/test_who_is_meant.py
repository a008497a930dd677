"""Whoever an event is not about: administrators, clients that only look like one, people of another issuer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import CallerError, IssuerMismatchError
from backchannel.webhooks import keycloak, standard_webhooks
from backchannel.webhooks.request import Context, Parsed, Proven, SidTrust, UnmatchedSid

AT = 1_788_249_600_123
REALM = "https://keycloak.example/realms/customer"

ADMINISTRATOR = {
    "realmId": "the-admins-realm",
    "userId": "the-admin",
    "clientId": "the-admins-client",
    "sessionId": "the-admins-session",
}
contexts = st.builds(
    Context,
    st.just(REALM),
    st.sampled_from(["claim", "sha256", "none"]),
    st.just(AT),
    unmatched_sid=st.sampled_from(["report", "end_subject"]),
)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12).filter(
    lambda text: "admin" not in text
)
user_ids = texts | texts.map("f:6a1b:{}".format)
paths = st.one_of(
    user_ids.map("users/{}".format),
    user_ids.map("users/{}/logout".format),
    user_ids.map("users/{}/reset-password".format),
    st.tuples(user_ids, texts).map(lambda pair: "users/{}/consents/{}".format(*pair)),
    texts.map("sessions/{}".format),
)
admin_types = st.sampled_from([each for each in keycloak._TYPES if each.startswith("admin.")])
user_types = st.sampled_from([each for each in keycloak._TYPES if each.startswith("access.")])


def of_keycloak(context: Context, **members: Any) -> Parsed:
    document = {"time": AT, "uid": "uid-1", "realmName": "customer", **members}
    try:
        return keycloak.parse(Proven(json.dumps(document).encode()), context)
    except CallerError:
        return Parsed()


@given(contexts, admin_types, paths, st.dictionaries(st.sampled_from(["enabled", "id", "username"]), st.booleans() | texts))
def test_an_administrators_event_never_names_the_administrator(
    context: Context, kind: str, path: str, representation: dict[str, Any]
) -> None:
    said = {"authDetails": ADMINISTRATOR, "resourcePath": path, "representation": json.dumps(representation)}

    parsed = of_keycloak(context, type=kind, **said)

    assert not [value for value in ADMINISTRATOR.values() if value in repr(parsed)]


@given(
    contexts, user_types, texts, texts, st.dictionaries(st.sampled_from(["revoked_client", "refresh_token_id", "reason"]), texts)
)
def test_only_the_revoked_client_narrows_a_users_event(
    context: Context, kind: str, user_id: str, client_id: str, details: dict[str, str]
) -> None:
    who = {"userId": user_id, "sessionId": "s1", "clientId": client_id}

    parsed = of_keycloak(context, type=kind, authDetails=who, details=details)

    for event in parsed.events:
        named = getattr(event, "client_id", None)
        expected = client_id if kind == "access.CODE_TO_TOKEN" else details.get("revoked_client") if "GRANT" in kind else None
        assert named == expected
        assert getattr(event, "sub", user_id) == user_id


@given(contexts, st.sampled_from([*keycloak._TYPES]), texts.filter(lambda realm: realm != "customer"), paths)
def test_a_user_of_another_realm_is_another_person(context: Context, kind: str, realm: str, path: str) -> None:
    document = {"type": kind, "time": AT, "uid": "u", "realmName": realm, "resourcePath": path, "authDetails": {"userId": "ada"}}

    with pytest.raises(IssuerMismatchError):
        keycloak.parse(Proven(json.dumps(document).encode()), context)


@given(
    st.sampled_from(["rp_session.started", "session.ended", "user.sessions_ended"]),
    st.none() | st.integers() | st.lists(texts) | texts | texts.map((REALM + "{}").format) | st.just(REALM.upper()),
    st.sampled_from(["claim", "sha256", "none"]),
    st.sampled_from(["report", "end_subject"]),
)
def test_a_sub_of_another_issuer_is_another_person(kind: str, iss: object, sid_trust: SidTrust, unmatched: UnmatchedSid) -> None:
    data = {"iss": iss, "sub": "ada", "sid": "s1", "client_id": "wiki"}
    body = json.dumps({"type": kind, "timestamp": "2026-09-01T10:00:00Z", "data": data}).encode()

    with pytest.raises(IssuerMismatchError):
        standard_webhooks.parse(Proven(body, "msg-1"), Context(REALM, sid_trust, AT, unmatched_sid=unmatched))
