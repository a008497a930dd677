"""A provider's own keys and metadata, merged with ours, through the deployed service and a real server on loopback."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from backchannel.providers.upstreams import LOOPBACK
from backchannel.tokens.document_store import FRESH, MAX_STALE
from backchannel.tokens.locations import Location
from local.client import Response, Stack
from tests.support.aws import Aws
from tests.support.deployed import CONTEXT, load
from tests.support.documents import HandClock
from tests.support.polling import until
from tests.support.provider import Provider
from tests.support.upstream import DISCOVERY, JWKS, Json, UpstreamServer, new_key

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")

METADATA = ".well-known/openid-configuration"


@pytest.fixture
def server(provider: Provider) -> Iterator[UpstreamServer]:
    provider.register_client("https://rp.example/logout")
    with UpstreamServer(provider.issuer) as server:
        yield server


def put(provider: Provider, **upstream: Any) -> tuple[int, Json]:
    return provider.stack.admin("PUT", provider.path, {"issuer": provider.issuer, "upstream": upstream})


def read(provider: Provider, document: str = "jwks.json", method: str = "GET", **headers: str) -> Response:
    return provider.stack.request(method, f"{provider.path}/{document}", headers=headers)


def kids(response: Response) -> list[str]:
    assert response.status == 200, response
    return [key["kid"] for key in response.body["keys"]]


def ours(provider: Provider) -> list[str]:
    return [each["kid"] for each in provider.ring()]


def one(key: str) -> Json:
    return {"keys": [new_key(key)]}


def delete_copy(aws: Aws, uri: str) -> None:
    """Have an environment that does not know a document yet fetch it."""
    copy = {"pk": {"S": Location(uri, LOOPBACK).key}}
    table = aws.stack.tables["FetchedDocumentsTable"]
    assert aws.client("dynamodb").delete_item(TableName=table, Key=copy, ReturnValues="ALL_OLD")["Attributes"]


# --- Merged -----------------------------------------------------------------------------------------------------------


def test_a_jwks_has_the_providers_keys_as_they_are_and_then_ours(provider: Provider, server: UpstreamServer) -> None:
    theirs = [new_key("one"), {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "new", "more": {"is": ["kept"]}}]
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}
    server.pages[JWKS] = {"keys": [theirs[0], secret, {**theirs[1], "priv": "c2VjcmV0"}]}

    assert put(provider, **server.upstream)[0] == 200

    keys = read(provider).body["keys"]
    assert keys[:2] == theirs
    assert [key["kid"] for key in keys[2:]] == ours(provider)
    assert all(key["use"] == "sig" and key["alg"] for key in keys[2:])


def test_the_discovery_document_is_the_providers_but_for_what_is_ours(
    provider: Provider, server: UpstreamServer, stack: Stack
) -> None:
    put(provider, **server.upstream)

    document = read(provider, METADATA).body

    theirs = server.pages[DISCOVERY]
    assert isinstance(theirs, dict)
    assert document.pop("jwks_uri") == f"{stack.api_url}{provider.path}/jwks.json"
    assert document == {
        **{name: value for name, value in theirs.items() if name not in {"jwks_uri", "signed_metadata"}},
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }


def test_the_jwks_is_where_the_discovery_document_says_it_is(provider: Provider, server: UpstreamServer, stack: Stack) -> None:
    put(provider, **server.upstream)

    jwks_uri = read(provider, METADATA).body["jwks_uri"]

    assert stack.request("GET", jwks_uri.removeprefix(stack.api_url)).body == read(provider).body


def test_with_a_jwks_uri_alone_there_are_merged_keys_and_no_discovery_document(
    provider: Provider, server: UpstreamServer
) -> None:
    assert put(provider, jwks_uri=server.url + JWKS)[0] == 200

    assert kids(read(provider)) == ["one", *ours(provider)]
    missing = read(provider, METADATA)
    assert (missing.status, missing.body["code"]) == (404, "discovery_not_configured")
    assert missing.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("document", ["jwks.json", METADATA])
def test_a_merged_document_can_be_cached_validated_and_asked_for_its_head(
    provider: Provider, server: UpstreamServer, document: str
) -> None:
    put(provider, **server.upstream)

    fresh, head = read(provider, document), read(provider, document, "HEAD")
    unchanged = read(provider, document, **{"If-None-Match": fresh.headers["etag"]})

    assert fresh.headers["content-type"] == "application/json"
    assert fresh.headers["cache-control"] == "public, max-age=60, stale-if-error=1800"
    assert (head.status, head.body) == (200, None)
    assert {name: head.headers[name] for name in ("etag", "cache-control", "content-type")} == {
        name: fresh.headers[name] for name in ("etag", "cache-control", "content-type")
    }
    assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, None, fresh.headers["etag"])


def test_another_key_under_a_kid_of_ours_is_reported_and_nothing_is_served(
    provider: Provider, server: UpstreamServer, aws: Aws, began: float
) -> None:
    kid, uri = ours(provider)[0], server.url + JWKS
    put(provider, discovery=server.url + DISCOVERY, jwks_uri=uri)
    server.pages[JWKS] = {"keys": [new_key(kid)]}
    delete_copy(aws, uri)

    refused = read(provider)

    assert (refused.status, refused.body["code"]) == (503, "kid_clash")
    assert kid in refused.body["detail"]
    assert read(provider, METADATA).status == 200
    lines = until(lambda: [line for line in aws.log_lines("DiscoveryLogGroup", began) if kid in line])
    assert json.loads(lines[0])["code"] == "kid_clash"
    assert any('"KidClashes"' in line for line in aws.log_lines("DiscoveryLogGroup", began))


def test_an_upstream_with_another_key_under_a_kid_of_ours_is_refused(provider: Provider, server: UpstreamServer) -> None:
    kid = ours(provider)[0]
    server.pages[JWKS] = {"keys": [new_key(kid)]}

    status, answer = put(provider, **server.upstream)

    assert (status, answer["code"]) == (400, "upstream_invalid")
    assert kid in answer["detail"]


# --- Configured -------------------------------------------------------------------------------------------------------


def test_an_upstream_is_shown_as_it_was_put_and_can_be_taken_away(provider: Provider, server: UpstreamServer) -> None:
    upstream = {**server.upstream, "jwks_uri": server.url + JWKS, "allowed_networks": ["127.0.0.0/8"], "ca_bundle": None}

    status, answer = put(provider, **upstream)

    assert (status, answer["upstream"]) == (200, upstream)
    assert provider.get("")["upstream"] == upstream
    provider.put("", {"issuer": provider.issuer})
    assert provider.get("")["upstream"] is None
    until(lambda: kids(read(provider)), holds=lambda found: found == ours(provider), seconds=10)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({JWKS: b"<html>"}, "upstream_invalid"),
        ({JWKS: {"keys": "none"}}, "upstream_invalid"),
        ({JWKS: b'{"keys": [' + b"[" * 100_000}, "upstream_invalid"),
        ({JWKS: b'{"keys": []' + b" " * 300_000 + b"}"}, "upstream_unavailable"),
        ({DISCOVERY: {"issuer": "https://another.example"}}, "upstream_invalid"),
        ({DISCOVERY: None}, "upstream_unavailable"),
        ({JWKS: None}, "upstream_unavailable"),
    ],
    ids=["no JSON", "no set", "nested", "too large", "another issuer", "no document", "no JWKS"],
)
def test_what_is_not_there_or_not_valid_is_refused_and_nothing_changes(
    provider: Provider, server: UpstreamServer, change: dict[str, Any], code: str
) -> None:
    server.pages |= change

    status, answer = put(provider, **server.upstream)

    assert (status, answer["code"]) == (400, code)
    assert provider.get("")["upstream"] is None


def test_a_provider_whose_upstream_is_refused_is_not_created(stack: Stack, server: UpstreamServer) -> None:
    provider = Provider(stack)
    server.stop()

    status, answer = put(provider, **server.upstream)

    assert (status, answer["code"]) == (400, "upstream_unavailable")
    assert "connect_failed" in answer["detail"]
    assert stack.admin("GET", provider.path)[0] == 404


@pytest.mark.parametrize("uri", ["http://op.example/jwks", "https://169.254.169.254/jwks", "file:///etc/passwd"])
def test_a_url_that_must_not_be_dialled_is_refused(provider: Provider, uri: str) -> None:
    status, answer = put(provider, jwks_uri=uri)

    assert (status, answer["code"]) == (400, "registration_invalid")


# --- While it changes, hangs or is gone ---------------------------------------------------------------------------------


@pytest.fixture
def cold(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Callable[[HandClock], ModuleType]:
    """Start another execution environment, as Lambda does, whose clock the test holds."""
    configuration = aws.client("lambda").get_function_configuration(FunctionName=aws.stack.functions["DiscoveryFunction"])
    environment = {**configuration["Environment"]["Variables"], "AWS_ENDPOINT_URL": aws.stack.endpoint_url}
    for variable, value in {**environment, "AWS_DEFAULT_REGION": aws.stack.region}.items():
        monkeypatch.setenv(variable, value)

    def start(clock: HandClock) -> ModuleType:
        app = load("discovery")
        app.publisher.documents._clock = clock
        return app

    return start


def ask(app: ModuleType, provider: Provider) -> tuple[int, Json]:
    path = f"{provider.path}/jwks.json"
    event = {"path": path, "httpMethod": "GET", "headers": {}, "multiValueHeaders": {}, "requestContext": {"path": path}}
    answer = app.handler(event, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"])


def test_the_last_good_copy_is_served_for_a_day_after_the_provider_fell_silent(
    provider: Provider, server: UpstreamServer, cold: Callable[[HandClock], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    put(provider, jwks_uri=server.url + JWKS)
    clock = HandClock()
    warm = cold(clock)
    before = ask(warm, provider)
    server.stop()

    clock.now += FRESH
    stale = [ask(warm, provider), ask(cold(clock), provider)]
    clock.now += MAX_STALE - 2 * FRESH
    capsys.readouterr()
    at_last = [ask(cold(clock), provider), ask(warm, provider)]
    metrics = capsys.readouterr().out
    clock.now += 2 * FRESH
    too_late = [ask(cold(clock), provider), ask(warm, provider)]

    assert stale == at_last == [before, before]
    assert before[0] == 200
    assert metrics.count('"UpstreamStale":[1.0]') == 2
    assert [(status, body["code"]) for status, body in too_late] == [(503, "document_unavailable")] * 2


@pytest.mark.parametrize("garbage", [b"", b"<html>", b"\xff\xfe", b'{"keys": 1}', b'{"keys":' * 9999, b"0" * 300_000])
def test_garbage_never_replaces_the_last_good_copy(
    provider: Provider, server: UpstreamServer, cold: Callable[[HandClock], ModuleType], garbage: bytes
) -> None:
    put(provider, jwks_uri=server.url + JWKS)
    clock = HandClock()
    before = ask(cold(clock), provider)
    server.pages[JWKS] = garbage

    for _ in range(3):
        clock.now += FRESH
        assert ask(cold(clock), provider) == before
    server.pages[JWKS] = one("two")
    clock.now += FRESH

    assert [key["kid"] for key in ask(cold(clock), provider)[1]["keys"]] == ["two", *ours(provider)]
    assert server.requests[JWKS] == 5


def test_a_storm_over_many_environments_makes_one_request_a_minute(
    provider: Provider, server: UpstreamServer, cold: Callable[[HandClock], ModuleType]
) -> None:
    put(provider, jwks_uri=server.url + JWKS)
    clock = HandClock()
    environments = [cold(clock) for _ in range(8)]
    made = []
    for kid in ("two", "three", "four"):
        server.pages[JWKS] = one(kid)
        server.requests.clear()
        clock.now += FRESH
        with ThreadPoolExecutor(len(environments)) as pool:
            answers = list(pool.map(lambda number: ask(environments[number % 8], provider)[0], range(200)))
        assert answers == [200] * 200
        made.append(server.requests[JWKS])
    server.stop()
    clock.now += FRESH
    with ThreadPoolExecutor(len(environments)) as pool:
        answers = list(pool.map(lambda number: ask(environments[number % 8], provider)[0], range(200)))

    assert made == [1, 1, 1]
    assert answers == [200] * 200


@pytest.mark.waits
def test_keys_that_rotate_are_seen_within_a_minute_and_a_storm_of_requests_changes_nothing(
    provider: Provider, server: UpstreamServer
) -> None:
    put(provider, **server.upstream)
    began, at_first = time.monotonic(), kids(read(provider))
    server.pages[JWKS] = one("two")

    def storm() -> set[int]:
        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(lambda _: read(provider).status, range(200)))

    assert storm() == {200}
    until(lambda: kids(read(provider)), holds=lambda found: found[0] == "two", seconds=FRESH / 1000 + 5, every=0.5)
    elapsed = time.monotonic() - began
    assert storm() == {200}

    assert at_first[0] == "one"
    assert elapsed < FRESH / 1000 + 3
    assert server.requests == {DISCOVERY: 2, JWKS: 2}, "one when it was put, one when the copy was a minute old"


@pytest.mark.alone
@pytest.mark.parametrize("action", ["dynamodb:GetItem", "dynamodb:UpdateItem"])
def test_without_the_permission_to_keep_copies_a_relying_party_is_told_to_come_again(
    provider: Provider, server: UpstreamServer, aws: Aws, action: str
) -> None:
    uri = server.url + JWKS
    put(provider, jwks_uri=uri)
    delete_copy(aws, uri)

    with aws.without("DiscoveryRole", action, "FetchedDocuments"):
        refused = read(provider)

    assert (refused.status, refused.body["code"]) == (503, "storage_unavailable")
    assert kids(read(provider))[0] == "one"


@pytest.mark.alone
def test_without_the_permission_to_keep_copies_the_operator_is_told_to_come_again(
    provider: Provider, server: UpstreamServer, aws: Aws
) -> None:
    with aws.without("AdminRole", "dynamodb:UpdateItem", "FetchedDocuments"):
        status, answer = put(provider, **server.upstream)

    assert (status, answer["code"]) == (503, "storage_unavailable")
    assert put(provider, **server.upstream)[0] == 200
