"""``upstream`` of a provider: what may be registered, and what is fetched before it is stored."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trustme

from backchannel.api.dependencies import Dependencies
from backchannel.api.requests import UpstreamMetadata
from backchannel.api.upstreams import checked_upstream
from backchannel.errors import (
    BackchannelError,
    ConnectFailed,
    RegistrationInvalidError,
    UpstreamInvalidError,
    UpstreamUnavailableError,
)
from backchannel.providers.table import Provider
from backchannel.providers.upstreams import LOOPBACK, register_upstream
from backchannel.tokens.documents import Documents, FetchResponse
from backchannel.tokens.locations import Upstream
from tests.support.documents import MemoryStore, Served
from tests.support.signing import ring
from tests.unit.test_provider_metadata import ISSUER, METADATA

DISCOVERY, JWKS = f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/jwks"


def registered(upstream: Upstream, *, private: bool = False, loopback: bool = False) -> Upstream:
    return register_upstream("op", upstream, permit_private_networks=private, permit_loopback=loopback)


@pytest.mark.parametrize("upstream", [Upstream(DISCOVERY), Upstream(jwks_uri=JWKS), Upstream(DISCOVERY, JWKS)])
def test_one_url_will_do(upstream: Upstream) -> None:
    assert registered(upstream) == upstream


@pytest.mark.parametrize(
    ("upstream", "words"),
    [
        (Upstream(), "upstream must have discovery, jwks_uri or both"),
        (Upstream("http://op.example/"), "upstream.discovery must be https"),
        (Upstream(DISCOVERY, "http://op.example/"), "upstream.jwks_uri must be https"),
        (Upstream("op.example"), "upstream.discovery must be an absolute URI"),
        (Upstream(jwks_uri="https://user@op.example/"), "upstream.jwks_uri must not have userinfo"),
        (Upstream("https://169.254.169.254/latest"), "upstream.discovery must name a host"),
        (Upstream("http://127.0.0.1:8080/"), "upstream.discovery must be https"),
        (Upstream(DISCOVERY, allowed_networks=("10.0.0.0/8",)), "does not permit allowed_networks"),
        (Upstream(DISCOVERY, ca_bundle="PEM"), "ca_bundle must be certificates"),
    ],
)
def test_what_egress_would_not_dial_is_refused(upstream: Upstream, words: str) -> None:
    with pytest.raises(RegistrationInvalidError, match=words):
        registered(upstream)


def test_a_deployment_may_permit_private_networks_but_not_loopback() -> None:
    upstream = Upstream("http://op.internal/", allowed_networks=("10.0.0.0/8",))

    assert registered(upstream, private=True) == upstream
    with pytest.raises(RegistrationInvalidError, match="loopback is for local environments alone"):
        registered(Upstream("http://127.0.0.1:1/", allowed_networks=LOOPBACK), private=True)
    with pytest.raises(RegistrationInvalidError, match="must be https"):
        registered(Upstream("http://127.0.0.1:1/"), private=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_a_local_environment_permits_http_on_loopback_without_a_list(host: str) -> None:
    upstream = Upstream(f"http://{host}:8080/d", JWKS)

    assert registered(upstream, private=True, loopback=True).allowed_networks == LOOPBACK
    with pytest.raises(RegistrationInvalidError):
        registered(upstream, private=False, loopback=True)


def test_a_local_environment_opens_nothing_else_by_itself() -> None:
    with pytest.raises(RegistrationInvalidError, match="must be https"):
        registered(Upstream("http://op.internal/"), private=True, loopback=True)
    assert registered(Upstream(DISCOVERY), private=True, loopback=True).allowed_networks == ()


def test_certificates_of_a_private_pki_are_kept() -> None:
    pem = trustme.CA().cert_pem.bytes().decode()

    assert registered(Upstream(DISCOVERY, ca_bundle=pem)).ca_bundle == pem


class Web:
    """Documents by their URL; one that is no document is an error that fetching it raises, or a status."""

    def __init__(self, **pages: Any) -> None:
        self.pages = {DISCOVERY: pages.get("discovery", METADATA), JWKS: pages.get("jwks", {"keys": []})}
        self.fetched: list[str] = []

    def get(self, uri: str, *, allowed_networks: tuple[str, ...], ca_bundle: str | None, max_octets: int) -> FetchResponse:
        assert (allowed_networks, ca_bundle) == ((), None)
        self.fetched.append(uri)
        page = self.pages[uri]
        if isinstance(page, BackchannelError):
            raise page
        body = json.dumps(page).encode()
        assert len(body) <= max_octets
        return Served(page if isinstance(page, int) else 200, body)


def check(web: Web, metadata: UpstreamMetadata | None) -> Upstream | None:
    using = SimpleNamespace(documents=Documents(web.get, MemoryStore()), permit_private_networks=False, permit_loopback=False)
    return checked_upstream(metadata, Provider("op", ISSUER, ring()), cast("Dependencies", using))


@pytest.mark.parametrize(
    ("metadata", "fetched"),
    [
        (UpstreamMetadata(discovery=DISCOVERY), [DISCOVERY, JWKS]),
        (UpstreamMetadata(jwks_uri=JWKS), [JWKS]),
        (UpstreamMetadata(discovery=DISCOVERY, jwks_uri=JWKS), [DISCOVERY, JWKS]),
        (None, []),
    ],
)
def test_each_document_is_fetched_once_before_it_is_stored(metadata: UpstreamMetadata | None, fetched: list[str]) -> None:
    web = Web()

    upstream = check(web, metadata)

    assert web.fetched == fetched
    assert (upstream is None) == (metadata is None)


@pytest.mark.parametrize(
    ("pages", "error", "words"),
    [
        ({"discovery": ConnectFailed("refused")}, UpstreamUnavailableError, "the discovery document of upstream: connect_failed"),
        ({"discovery": 404}, UpstreamUnavailableError, "the discovery document of upstream: http_404"),
        ({"jwks": ConnectFailed("refused")}, UpstreamUnavailableError, "the JWKS of upstream: connect_failed"),
        ({"discovery": {**METADATA, "issuer": f"{ISSUER}/"}}, UpstreamInvalidError, "issuer is not exactly"),
        ({"discovery": {}}, UpstreamInvalidError, "the discovery document of upstream: issuer"),
        ({"jwks": {"keys": {}}}, UpstreamInvalidError, "the JWKS of upstream: not a JWK Set"),
        ({"jwks": []}, UpstreamInvalidError, "the JWKS of upstream: not a JSON object"),
        (
            {"jwks": {"keys": [{"kty": "RSA", "kid": ring()[0].kid, "e": "AQAB", "n": "AQAB"}]}},
            UpstreamInvalidError,
            ring()[0].kid,
        ),
    ],
)
def test_what_does_not_answer_or_is_not_valid_is_refused_by_name(
    pages: dict[str, Any], error: type[BackchannelError], words: str
) -> None:
    with pytest.raises(error, match=words):
        check(Web(**pages), UpstreamMetadata(discovery=DISCOVERY))


def test_a_url_that_is_refused_is_not_fetched() -> None:
    web = Web()

    with pytest.raises(RegistrationInvalidError):
        check(web, UpstreamMetadata(jwks_uri="http://169.254.169.254/"))

    assert web.fetched == []


@pytest.mark.parametrize("document", ["jwks.json", ".well-known/openid-configuration"])
def test_a_document_of_this_service_is_no_upstream_of_its_provider(document: str) -> None:
    with pytest.raises(RegistrationInvalidError, match="would read itself"):
        registered(Upstream(discovery=f"https://api.example/live/providers/op/{document}"))
    assert registered(Upstream(discovery=f"https://api.example/providers/other/{document}")).discovery
