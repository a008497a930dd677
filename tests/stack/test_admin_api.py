"""The operator's interface: what each route does, and what it refuses."""

import base64
import json
import secrets
from typing import Any
from urllib.parse import quote

import pytest

from local.client import Response, Stack
from local.stack import STACK_NAME
from tests.stack.conftest import MakeRelyingParty
from tests.support.aws import Aws
from tests.support.encrypting import public_jwk
from tests.support.polling import until
from tests.support.provider import SOURCE, Json, Provider, new_secret
from tests.support.relying_party import Answer
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.second

ROUTES = [
    ("PATCH", ""),
    ("PUT", ""),
    ("GET", ""),
    ("DELETE", ""),
    ("GET", "/sources"),
    ("PATCH", "/sources/app"),
    ("PUT", "/sources/app"),
    ("GET", "/sources/app"),
    ("DELETE", "/sources/app"),
    ("POST", "/sources/app/preview"),
    ("GET", "/clients"),
    ("PATCH", "/clients/wiki"),
    ("PUT", "/clients/wiki"),
    ("GET", "/clients/wiki"),
    ("DELETE", "/clients/wiki"),
    ("POST", "/clients/wiki/pause"),
    ("POST", "/clients/wiki/resume"),
    ("GET", "/clients/wiki/counts"),
    ("GET", "/counts"),
    ("POST", "/clients/wiki/test"),
    ("POST", "/sessions"),
    ("GET", "/sessions"),
    ("POST", "/logouts"),
    ("GET", "/logouts"),
    ("GET", "/logouts/id"),
    ("POST", "/logouts/id/redeliveries"),
    ("POST", "/clients/wiki/redeliveries"),
    ("GET", "/deliveries"),
]


def ask(provider: Provider, method: str, path: str, document: Any = None) -> Response:
    return provider.stack.request(method, provider.path + path, document, signed=True)


def assert_problem(response: Response, status: int, code: str) -> None:
    assert (response.status, response.body["status"], response.body["code"]) == (status, status, code)
    assert response.headers["content-type"] == "application/problem+json"


def pages(provider: Provider, path: str, member: str) -> list[list[Json]]:
    """Walk through a list in pages of one."""
    found: list[list[Json]] = []
    after = ""
    while True:
        page = provider.get(f"{path}{'&' if '?' in path else '?'}limit=1{after}")
        found.append(page[member])
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def cursor(position: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def takes_a_body(method: str, path: str) -> bool:
    return method in {"PUT", "PATCH", "POST"} and not path.endswith(("/pause", "/resume"))


def test_the_list_of_providers_is_not_shown_to_who_does_not_sign(stack: Stack) -> None:
    assert stack.request("GET", "/providers").status == 403


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_is_done_for_who_does_not_sign(shared_provider: Provider, stack: Stack, method: str, path: str) -> None:
    response = stack.request(method, shared_provider.path + path)

    assert response.status == 403


# --- providers --------------------------------------------------------------------------------------------------------


def test_a_provider_is_created_once_shown_and_removed(stack: Stack) -> None:
    provider = Provider(stack)

    created = ask(provider, "PUT", "", {"issuer": provider.issuer})
    repeated = ask(provider, "PUT", "", {"issuer": provider.issuer})
    shown = ask(provider, "GET", "")
    removed = ask(provider, "DELETE", "")

    assert [each.status for each in (created, repeated, shown, removed)] == [201, 200, 200, 204]
    assert created.body == repeated.body == shown.body
    assert (shown.body["provider"], shown.body["issuer"]) == (provider.name, provider.issuer)
    assert removed.body is None
    assert_problem(ask(provider, "GET", ""), 404, "not_found")
    assert ask(provider, "PUT", "", {"issuer": provider.issuer}).status == 201


def test_the_issuer_of_a_provider_cannot_change(shared_provider: Provider) -> None:
    response = ask(shared_provider, "PUT", "", {"issuer": shared_provider.issuer + "/other"})

    assert_problem(response, 409, "conflict")


def test_an_issuer_belongs_to_one_provider(shared_provider: Provider, stack: Stack) -> None:
    other = Provider(stack)

    assert_problem(ask(other, "PUT", "", {"issuer": shared_provider.issuer}), 409, "conflict")
    assert_problem(ask(other, "GET", ""), 404, "not_found")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "malformed_request"),
        ({"issuer": "https://idp.example", "isuser": "x"}, "malformed_request"),
        ({"issuer": 5}, "malformed_request"),
        ({"issuer": "http://idp.example"}, "registration_invalid"),
        ({"issuer": "https://idp.example?a=b"}, "registration_invalid"),
        ({"issuer": "https://idp.example#a"}, "registration_invalid"),
    ],
)
def test_a_provider_that_cannot_be_meant_is_refused(stack: Stack, document: Json, code: str) -> None:
    assert_problem(ask(Provider(stack), "PUT", "", document), 400, code)


@pytest.mark.parametrize("name", ["-p", "p" * 65, "p%20p"])
def test_the_name_of_a_provider_has_few_characters(stack: Stack, name: str) -> None:
    response = stack.request("PUT", f"/providers/{name}", {"issuer": "https://idp.example"}, signed=True)

    assert_problem(response, 400, "malformed_request")


def test_a_provider_with_sources_or_clients_stays(provider: Provider) -> None:
    assert_problem(ask(provider, "DELETE", ""), 409, "conflict")

    provider.register_client("https://rp.example/", "wiki")
    assert ask(provider, "DELETE", f"/sources/{SOURCE}").status == 204
    assert_problem(ask(provider, "DELETE", ""), 409, "conflict")

    assert ask(provider, "DELETE", "/clients/wiki").status == 204
    assert ask(provider, "DELETE", "").status == 204
    assert_problem(ask(provider, "DELETE", ""), 404, "not_found")


def test_a_logout_of_a_provider_that_was_removed_meanwhile_is_no_fault(aws: Aws, began: float) -> None:
    logout = secrets.token_hex(20)
    times = {"ended_at": 1, "source_event_id": "id", "fanout_id": logout}

    aws.send("SessionEndedQueue", json.dumps({"provider": f"gone-{logout}", "logout_id": logout, "sid": "sid", **times}))
    aws.wait_until_handled(f"gone-{logout}")

    (line,) = until(lambda: [line for line in aws.log_lines("SessionEndedLogGroup", began) if logout in line])
    assert json.loads(line)["message"] == "session.dropped"


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_source_is_configured_shown_without_its_secrets_and_removed(provider: Provider) -> None:
    secret, previous = new_secret(), new_secret()
    settings: Json = {"format": "standard-webhooks", "sid_trust": "none", "unmatched_sid": "end_subject", "require_iss": True}
    metadata = {**settings, "secret": secret, "previous_secret": previous, "expected_interval": 300}
    of_tokens: Json = {"audience": None, "token_issuer": None, "jwks_uri": None, "allowed_networks": [], "ca_bundle": None}
    of_logout_tokens: Json = {"pass_on": False, "tolerate_missing_exp": False, "max_lifetime": None}
    of_sets: Json = {"tolerate_typ": False, "email_is_sub": False, "subject_issuers": [], "widen_subjects": False}
    of_sets |= {"unnamed_session": None, "verification_state": None, "ends_at": "client"}
    others: Json = {"ends_sessions": None, "algorithm": None, "realm": None, **of_tokens, **of_logout_tokens, **of_sets}
    expected = {**settings, "source": "shop", "expected_interval": 300, **others}

    configured = ask(provider, "PUT", "/sources/shop", metadata)
    shown = ask(provider, "GET", "/sources/shop")
    removed = ask(provider, "DELETE", "/sources/shop")

    assert [each.status for each in (configured, shown, removed)] == [200, 200, 204]
    assert configured.body == expected
    assert shown.body == {**expected, "activity": shown.body["activity"]}
    assert_problem(ask(provider, "GET", "/sources/shop"), 404, "not_found")
    assert_problem(ask(provider, "DELETE", "/sources/shop"), 404, "not_found")
    assert ask(provider, "PUT", "/sources/shop", metadata).status == 200


def test_secrets_are_kept_in_secrets_manager_alone(provider: Provider, aws: Aws, stack: Stack) -> None:
    key = {"pk": {"S": f"PROVIDER#{provider.name}"}, "sk": {"S": f"SOURCE#{SOURCE}"}}

    item = aws.client("dynamodb").get_item(TableName=stack.tables["ProvidersTable"], Key=key)["Item"]

    name = json.loads(item["document"]["S"])["secret_name"]
    kept = json.loads(aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
    assert kept == {"secrets": [provider.secret]}
    assert provider.secret not in json.dumps(item)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"format": "standard-webhooks"}, "registration_invalid"),
        ({"format": "bearer", "secret": "not a header"}, "registration_invalid"),
        ({"format": "signed-jwt", "audience": "hub"}, "registration_invalid"),  # and nobody says where the keys are
        (
            {"format": "signed-jwt", "audience": "hub", "jwks_uri": "https://idp.example/jwks", "secret": "s" * 24},
            "registration_invalid",
        ),
        ({"format": "signed-jwt", "jwks_uri": "https://idp.example/jwks"}, "registration_invalid"),
        ({"format": "signed-jwt", "audience": "hub", "jwks_uri": "https://10.0.0.1/jwks"}, "registration_invalid"),
        ({"format": "keycloak", "secret": "s" * 24, "audience": "hub"}, "registration_invalid"),
        ({"format": "carrier-pigeon", "secret": "s" * 24}, "malformed_request"),
        ({"format": "keycloak", "secret": "s" * 24, "secrte": "s"}, "malformed_request"),
        ({"format": "keycloak", "secret": "s" * 24, "sid_trust": "blind"}, "malformed_request"),
        ({"format": "keycloak", "secret": "s" * 24, "expected_interval": 299}, "malformed_request"),
        ({"format": "keycloak", "secret": "s" * 24, "require_iss": True}, "registration_invalid"),
        ({"format": "standard-webhooks", "secret": new_secret(), "realm": "customer"}, "registration_invalid"),
        ({"format": "keycloak", "secret": "short"}, "registration_invalid"),
        ({"format": "keycloak", "secret": "s" * 70_000}, "malformed_request"),
        ({"format": "standard-webhooks", "secret": "whsec_***"}, "registration_invalid"),
        ({"format": "standard-webhooks", "secret": "whsec_c2hvcnQ="}, "registration_invalid"),
    ],
)
def test_a_source_that_could_never_verify_is_refused(shared_provider: Provider, metadata: Json, code: str) -> None:
    response = ask(shared_provider, "PUT", "/sources/refused", metadata)

    assert_problem(response, 400, code)
    assert metadata.get("secret", "no secret") not in json.dumps(response.body)
    assert_problem(ask(shared_provider, "GET", "/sources/refused"), 404, "not_found")


def test_a_source_never_replaces_or_deletes_a_secret_of_somebody_else(provider: Provider, aws: Aws) -> None:
    manager, name = aws.client("secretsmanager"), f"backchannel/{STACK_NAME}/{provider.name}/db"
    metadata = {"format": "keycloak", "secret": "s" * 24}
    manager.create_secret(Name=name, SecretString="foreign")

    refused = ask(provider, "PUT", "/sources/db", metadata)
    manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    configured = ask(provider, "PUT", "/sources/db", metadata)
    manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    manager.create_secret(Name=name, SecretString="foreign again")
    removed = ask(provider, "DELETE", "/sources/db")

    assert_problem(refused, 409, "conflict")
    assert (configured.status, removed.status) == (200, 204)
    assert manager.get_secret_value(SecretId=name)["SecretString"] == "foreign again"


def test_a_source_keeps_to_the_folder_of_its_stack(provider: Provider, aws: Aws) -> None:
    manager, name = aws.client("secretsmanager"), f"{STACK_NAME}/{provider.name}/db"
    manager.create_secret(Name=name, SecretString="foreign")

    configured = ask(provider, "PUT", "/sources/db", {"format": "keycloak", "secret": "s" * 24})
    removed = ask(provider, "DELETE", "/sources/db")

    assert (configured.status, removed.status) == (200, 204)
    assert manager.get_secret_value(SecretId=name)["SecretString"] == "foreign"


def test_a_source_that_is_created_again_takes_its_new_secret(provider: Provider, aws: Aws) -> None:
    manager, name = aws.client("secretsmanager"), f"backchannel/{STACK_NAME}/{provider.name}/{SOURCE}"

    assert ask(provider, "DELETE", f"/sources/{SOURCE}").status == 204
    deleted = manager.describe_secret(SecretId=name)
    provider.secret = new_secret()
    provider.put_source(SOURCE, format="standard-webhooks", secret=provider.secret)

    assert "DeletedDate" in deleted
    found = manager.describe_secret(SecretId=name)
    assert "DeletedDate" not in found
    assert found["Tags"] == [{"Key": "backchannel:stack", "Value": STACK_NAME}]
    until(lambda: provider.webhook("session.ended", sid=new_id("sid")).status == 202)


BODIES = {
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "long number": b'{"issuer": %s}' % (b"1" * 5000),
    "lone surrogate": b'{"issuer": "https://idp.example/\\ud800"}',
    "name with a lone surrogate": b'{"\\udfff": 1}',
    "a name twice": b'{"issuer": "https://idp.example/", "issuer": "https://idp.example/2"}',
    "no number": b'{"issuer": "https://idp.example/", "session_lifetime": NaN}',
    "no object": b'["https://idp.example/"]',
    "no JSON": b"{",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if takes_a_body(*route)])
def test_a_body_that_cannot_be_read_is_refused(shared_provider: Provider, method: str, path: str, body: bytes) -> None:
    response = shared_provider.stack.request(method, shared_provider.path + path, body=body, signed=True)

    assert_problem(response, 400, "malformed_request")


@pytest.mark.parametrize("member", ["secret", "previous_secret"])
def test_a_secret_with_a_lone_surrogate_is_refused(shared_provider: Provider, member: str) -> None:
    metadata = {"format": "keycloak", "secret": "s" * 24, member: "\ud800" * 24}

    assert_problem(ask(shared_provider, "PUT", "/sources/refused", metadata), 400, "malformed_request")


def test_a_webhook_survives_whatever_its_secret_is(provider: Provider, aws: Aws) -> None:
    name = f"backchannel/{STACK_NAME}/{provider.name}/{SOURCE}"
    kept = json.dumps({"secrets": ["\ud800" * 24, provider.secret]})
    aws.client("secretsmanager").put_secret_value(SecretId=name, SecretString=kept)

    assert provider.webhook("session.ended", sid=new_id("sid")).status == 202


def test_an_error_repeats_neither_a_long_name_nor_one_that_the_caller_invented(shared_provider: Provider) -> None:
    secret = new_secret()

    unknown = ask(shared_provider, "GET", f"/clients/{'a' * 255}")
    misplaced = ask(shared_provider, "PUT", "/sources/refused", {"format": "keycloak", "secret": "s" * 24, secret: 1})

    assert_problem(unknown, 404, "not_found")
    assert "a" * 65 not in json.dumps(unknown.body)
    assert_problem(misplaced, 400, "malformed_request")
    assert [each["at"] for each in misplaced.body["errors"]] == ["body/*"]
    assert secret not in json.dumps(misplaced.body)


# --- clients ----------------------------------------------------------------------------------------------------------


def test_a_client_is_registered_shown_replaced_and_removed(provider: Provider) -> None:
    metadata = {
        "backchannel_logout_uri": "https://rp.example/logout?tenant=1",
        "backchannel_logout_session_required": True,
        "id_token_signed_response_alg": "ES256",
        "id_token_encrypted_response_alg": "ECDH-ES",
        "id_token_encrypted_response_enc": "A256GCM",
        "jwks": {"keys": [public_jwk("P-256", kid="k1", use="enc")]},
        "token_endpoint_auth_method": "private_key_jwt",
        "subject": "sid_only",
        "typ": "JWT",
        "exp": 60,
        "allowed_networks": ["10.0.0.0/8"],
    }

    registered = ask(provider, "PUT", "/clients/wiki", metadata)
    shown = ask(provider, "GET", "/clients/wiki")
    replaced = ask(provider, "PUT", "/clients/wiki", {})
    removed = ask(provider, "DELETE", "/clients/wiki")

    assert [each.status for each in (registered, shown, replaced, removed)] == [200, 200, 200, 204]
    assert registered.body == replaced.body | metadata
    assert shown.body == shown.body | registered.body
    assert replaced.body == replaced.body | {
        "client_id": "wiki",
        "backchannel_logout_uri": None,
        "backchannel_logout_session_required": False,
        "id_token_signed_response_alg": "RS256",
        "id_token_encrypted_response_alg": None,
        "id_token_encrypted_response_enc": None,
        "jwks": None,
        "jwks_uri": None,
        "token_endpoint_auth_method": "client_secret_basic",
        "subject": "both",
        "typ": "logout+jwt",
        "exp": 120,
        "allowed_networks": [],
    }
    assert_problem(ask(provider, "GET", "/clients/wiki"), 404, "not_found")
    assert_problem(ask(provider, "DELETE", "/clients/wiki"), 404, "not_found")


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"backchannel_logout_url": "https://rp.example/"}, "malformed_request"),
        ({"exp": 121}, "malformed_request"),
        ({"typ": "at+jwt"}, "malformed_request"),
        ({"backchannel_logout_uri": "http://rp.example/"}, "registration_invalid"),
        ({"backchannel_logout_uri": "https://rp.example/#part"}, "registration_invalid"),
        ({"backchannel_logout_uri": "https://user@rp.example/"}, "registration_invalid"),
        ({"backchannel_logout_uri": "https://169.254.169.254/"}, "registration_invalid"),
        ({"backchannel_logout_uri": "https://2130706433/"}, "registration_invalid"),
        ({"allowed_networks": ["everywhere"]}, "registration_invalid"),
        ({"allowed_networks": ["0.0.0.0/0"]}, "registration_invalid"),
        ({"allowed_networks": ["::/0"]}, "registration_invalid"),
        ({"ca_bundle": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"}, "registration_invalid"),
        ({"backchannel_logout_uri": "https://büro.example/"}, "registration_invalid"),
        ({"id_token_signed_response_alg": "none"}, "registration_invalid"),
        ({"id_token_encrypted_response_alg": "RSA-OAEP"}, "registration_invalid"),
        ({"id_token_encrypted_response_enc": "A128GCM"}, "registration_invalid"),
        ({"id_token_encrypted_response_alg": "RSA1_5", "jwks_uri": "https://rp.example/jwks"}, "registration_invalid"),
        ({"jwks": {"keys": [{"kty": "OKP", "crv": "X25519", "x": "AAAA", "d": "PRIVATE KEY"}]}}, "registration_invalid"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "PRIVATE KEY"}]}}, "registration_invalid"),
        ({"jwks": [{"kty": "oct", "k": "PRIVATE KEY"}]}, "malformed_request"),
        ({"jwks": {"keys": []}, "jwks_uri": "https://rp.example/jwks"}, "registration_invalid"),
        ({"subject": "sub_only", "backchannel_logout_session_required": True}, "registration_invalid"),
    ],
)
def test_a_client_that_must_not_be_stored_is_refused(shared_provider: Provider, metadata: Json, code: str) -> None:
    refused = ask(shared_provider, "PUT", "/clients/refused", metadata)

    assert_problem(refused, 400, code)
    assert "PRIVATE KEY" not in json.dumps(refused.body)
    assert_problem(ask(shared_provider, "GET", "/clients/refused"), 404, "not_found")


def test_a_client_needs_a_provider(stack: Stack) -> None:
    nobody = Provider(stack)

    assert_problem(ask(nobody, "PUT", "/clients/wiki", {}), 404, "not_found")
    assert_problem(ask(nobody, "GET", "/clients"), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
@pytest.mark.parametrize("client_id", ["\N{DESERET CAPITAL LETTER LONG I}" * 2049, "a" * 2049, "tab\t"], ids=ascii)
def test_there_is_no_client_with_an_id_that_none_can_have(shared_provider: Provider, method: str, client_id: str) -> None:
    response = ask(shared_provider, method, f"/clients/{quote(client_id)}", {} if method == "PUT" else None)

    assert response.status in {400, 404}
    assert_problem(response, response.status, response.body["code"])


def test_clients_are_listed_page_by_page(provider: Provider) -> None:
    for client_id in ("urn:c", "a", "b d"):
        ask(provider, "PUT", f"/clients/{client_id.replace(' ', '%20')}", {})

    found = pages(provider, "/clients", "clients")

    assert [client["client_id"] for page in found for client in page] == ["a", "b d", "urn:c"]
    assert all(len(page) <= 1 for page in found)
    assert [client["client_id"] for client in provider.get("/clients")["clients"]] == ["a", "b d", "urn:c"]


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_an_rp_session_is_reported_and_found_by_subject_and_by_session(provider: Provider) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    start = {"sub": sub, "sid": sid, "client_id": "wiki", "client_sub": "pairwise", "started_at": "2026-01-02T03:04:05Z"}

    reported = ask(provider, "POST", "/sessions", start)
    by_subject = provider.rp_sessions(sub=sub)
    by_session = provider.rp_sessions(sid=sid)

    assert (reported.status, reported.body) == (202, {"started": 1, "ended": 0})
    assert by_subject == by_session
    (session,) = by_session
    assert session == session | start | {"ended_at": None, "logout_id": None}


def test_an_rp_session_that_never_ends_by_itself_is_shown(provider: Provider) -> None:
    sub = new_id("sub")

    provider.post("/sessions", {"sub": sub, "client_id": "wiki", "expires_at": "9999-12-31T23:59:59Z"})

    assert [session["expires_at"] for session in provider.rp_sessions(sub=sub)] == ["9999-12-31T23:59:59Z"]


def test_rp_sessions_are_listed_page_by_page(provider: Provider) -> None:
    sub, sid = new_id("sub"), new_id("sid")
    for client_id in ("a", "b", "c"):
        provider.post("/sessions", {"sub": sub, "sid": sid, "client_id": client_id})

    for query in (f"sub={sub}", f"sid={sid}"):
        found = pages(provider, f"/sessions?{query}", "sessions")
        assert [session["client_id"] for page in found for session in page] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("start", "code"),
    [
        ({"sub": "ada"}, "malformed_request"),
        ({"sub": "ada", "client_id": "wiki", "ssid": "x"}, "malformed_request"),
        ({"sub": "", "client_id": "wiki"}, "malformed_request"),
        ({"sub": "ada", "client_id": "wik\x85"}, "identifier_invalid"),
        ({"sub": "ada", "client_id": "wiki", "sid": "a\nb"}, "identifier_invalid"),
        ({"sub": "ada", "client_id": "wiki", "started_at": "2999-01-01T00:00:00Z"}, "event_time_invalid"),
        ({"sub": "ada", "client_id": "wiki", "expires_at": "9999-12-31T23:59:59.9999999Z"}, "expiry_invalid"),
        ({"sub": "ada", "client_id": "wiki", "expires_at": "1969-12-31T23:59:59Z"}, "expiry_invalid"),
    ],
)
def test_an_rp_session_that_cannot_be_meant_is_refused(shared_provider: Provider, start: Json, code: str) -> None:
    assert_problem(ask(shared_provider, "POST", "/sessions", start), 400, code)


@pytest.mark.parametrize("query", ["", "?sub=a&sid=b", "?sub="])
def test_rp_sessions_are_looked_up_by_one_of_sub_and_sid(shared_provider: Provider, query: str) -> None:
    assert_problem(ask(shared_provider, "GET", f"/sessions{query}"), 400, "malformed_request")


@pytest.mark.parametrize("query", ["sid=s%C2%85", "sid=%09", "sub=%00", "sub=a%7F", "sid=a%0A"])
def test_rp_sessions_are_not_looked_up_by_what_none_can_have(shared_provider: Provider, query: str) -> None:
    assert_problem(ask(shared_provider, "GET", f"/sessions?{query}"), 400, "identifier_invalid")


# --- logouts and deliveries -------------------------------------------------------------------------------------------


def test_a_logout_is_shown_from_the_moment_it_was_asked_for(provider: Provider) -> None:
    sub = new_id("sub")

    accepted = ask(provider, "POST", "/logouts", {"sub": sub, "client_id": "wiki", "reason": "left the company"})
    shown = ask(provider, "GET", f"/logouts/{accepted.body['logout_id']}")

    assert (accepted.status, shown.status) == (202, 200)
    said = {"reason": "admin_logout", "note": "left the company"}
    expected: Json = {"sub": sub, "sid": None, "client_id": "wiki", "deliveries": [], **said}
    assert shown.body == shown.body | expected


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "malformed_request"),
        ({"sub": "ada", "sid": "sid"}, "malformed_request"),
        ({"sub": "ada", "resaon": "x"}, "malformed_request"),
        ({"sid": "s" * 2049}, "malformed_request"),
        ({"sid": "s\n"}, "identifier_invalid"),
    ],
)
def test_a_logout_that_cannot_be_meant_is_refused(shared_provider: Provider, request_: Json, code: str) -> None:
    assert_problem(ask(shared_provider, "POST", "/logouts", request_), 400, code)


def test_a_logout_is_shown_to_its_own_provider_alone(provider: Provider, shared_provider: Provider) -> None:
    logout = provider.post("/logouts", {"sid": new_id("sid")})["logout_id"]

    assert_problem(ask(shared_provider, "GET", f"/logouts/{logout}"), 404, "not_found")
    assert_problem(ask(shared_provider, "POST", f"/logouts/{logout}/redeliveries", {}), 404, "not_found")
    assert_problem(ask(provider, "GET", "/logouts/unknown"), 404, "not_found")


def test_deliveries_are_listed_by_logout_and_by_client_page_by_page(provider: Provider, relying_party: MakeRelyingParty) -> None:
    rp, rejecting = relying_party(), relying_party(Answer(200), Answer(404), Answer(200))
    provider.register_client(rp, "a")
    provider.register_client(rejecting, "b")
    logouts = []
    for _ in range(3):
        sub, sid = new_id("sub"), new_id("sid")
        provider.start("a", sub=sub, sid=sid)
        provider.start("b", sub=sub, sid=sid)
        logouts.append(provider.end_session(sid))
        provider.wait_for(logouts[-1], lambda found: len(found) == 2 and all(each["attempts"] for each in found))

    of_logout = pages(provider, f"/logouts/{logouts[0]}", "deliveries")
    of_client = pages(provider, "/deliveries?client_id=b&status=accepted", "deliveries")
    rejected = provider.get("/deliveries?client_id=b&status=rejected")["deliveries"]
    all_of_client = provider.get("/deliveries?client_id=b")["deliveries"]

    assert [each["client_id"] for page in of_logout for each in page] == ["a", "b"]
    assert [each["logout_id"] for page in of_client for each in page] == [logouts[0], logouts[2]]
    assert [each["logout_id"] for each in rejected] == [logouts[1]]
    assert {each["logout_id"] for each in all_of_client} == set(logouts)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?client_id=",
        f"?client_id={'a' * 2049}",
        "?client_id=a&status=lost",
        "?client_id=a&limit=0",
        "?client_id=a&limit=101",
    ],
)
def test_a_list_of_deliveries_that_cannot_be_meant_is_refused(shared_provider: Provider, query: str) -> None:
    assert_problem(ask(shared_provider, "GET", f"/deliveries{query}"), 400, "malformed_request")


@pytest.mark.parametrize(
    "path",
    [
        "/clients",
        "/sources",
        "/sessions?sub=a",
        "/sessions?sid=a",
        "/sessions?client_id=a",
        "/deliveries?client_id=a",
        "/logouts/{}",
    ],
)
@pytest.mark.parametrize("after", ["@@@", "YQ", cursor(5), cursor(None)])
def test_a_cursor_that_is_none_of_ours_is_refused(shared_provider: Provider, path: str, after: str, a_logout: str) -> None:
    path = path.format(a_logout)

    response = ask(shared_provider, "GET", f"{path}{'&' if '?' in path else '?'}after={after}")

    assert_problem(response, 400, "malformed_request")


def test_a_redelivery_goes_on_behind_a_cursor(provider: Provider, relying_party: MakeRelyingParty) -> None:
    provider.register_client(relying_party(Answer(404), Answer(200)), "a")
    sub, sid = new_id("sub"), new_id("sid")
    provider.start("a", sub=sub, sid=sid)
    logout = provider.end_session(sid)
    provider.wait_until(logout, "rejected")
    behind_it = cursor({"of": f"redeliveries/{logout}/False/None", "at": f"RP#a#{sid}"})

    nothing = ask(provider, "POST", f"/logouts/{logout}/redeliveries?after={behind_it}")
    all_of_it = ask(provider, "POST", f"/logouts/{logout}/redeliveries")

    assert (nothing.status, nothing.body) == (202, {"queued": 0, "skipped": {}, "next": None})
    assert (all_of_it.status, all_of_it.body) == (202, {"queued": 1, "skipped": {}, "next": None})
    provider.wait_until(logout, "accepted")


@pytest.mark.parametrize("after", ["@@@", "YQ", cursor(5), cursor({"of": "redeliveries/x", "at": "RP#"})])
def test_a_redelivery_does_not_go_on_behind_another_cursor(shared_provider: Provider, after: str, a_logout: str) -> None:
    since = {"since": "2026-01-01T00:00:00Z"}

    assert_problem(ask(shared_provider, "POST", f"/logouts/{a_logout}/redeliveries?after={after}"), 400, "malformed_request")
    assert_problem(ask(shared_provider, "POST", f"/clients/a/redeliveries?after={after}", since), 400, "malformed_request")


def test_a_redelivery_from_before_the_epoch_is_refused(shared_provider: Provider) -> None:
    time = {"since": "1960-01-01T00:00:00Z", "until": "1965-01-01T00:00:00Z"}

    assert_problem(ask(shared_provider, "POST", "/clients/wiki/redeliveries", time), 400, "malformed_request")


LISTS = {
    "/clients": "clients/{provider}",
    "/sources": "sources/{provider}",
    "/sessions?sub=a": "sessions/{provider}/a/None/None",
    "/sessions?sid=a": "sessions/{provider}/None/a/None",
    "/sessions?client_id=a": "sessions/{provider}/None/None/a",
    "/logouts/{logout}": "logouts/{logout}",
    "/deliveries?client_id=a": "deliveries/{provider}/a//None/None",
    "/deliveries?client_id=a&status=queued": "deliveries/{provider}/a/queued/None/None",
}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "place",
    ["", "LOGOUT", "RP#" + "a" * 2000, "CLIENT#" + "a" * 2000, "RP#\ud800", {}, {"pk": "a"}]
    + [{"pk": "a", "sk": "b", "status_changed": changed} for changed in ("", "\ud800", "\x7f", "a" * 1025)]
    + [{"range": name, "after": {"pk": "a", "sk": "b", "status_changed": "\x7f"}} for name in ("", "queued", "lost")]
    + [{"shard": 0, "pk": pk} for pk in ("", "\ud800")]
    + [{"shard": 0, "pk": "a", "sk": ""}, {"shard": 99}, {"shard": "0"}],
    ids=lambda place: json.dumps(place)[:60],
)
def test_a_cursor_that_was_edited_is_refused(shared_provider: Provider, path: str, place: object, a_logout: str) -> None:
    names = {"provider": shared_provider.name, "logout": a_logout}
    edited = cursor({"of": LISTS[path].format(**names), "at": place})

    response = ask(shared_provider, "GET", f"{path.format(**names)}{'&' if '?' in path else '?'}after={edited}")

    assert_problem(response, 400, "malformed_request")


@pytest.fixture(scope="module")
def a_logout(shared_provider: Provider) -> str:
    logout: str = shared_provider.post("/logouts", {"sid": new_id("sid")})["logout_id"]
    until(lambda: shared_provider.get(f"/logouts/{logout}")["fanned_out"])
    return logout
