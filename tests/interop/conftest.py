"""A provider and relying parties in processes of their own, registered at the service under test."""

import secrets
from base64 import b64encode
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from local.client import Stack
from tests.support.provider import Provider

from .processes import running
from .recorder import Recorder, recording

pytest.register_assert_rewrite(f"{__package__}.browser", f"{__package__}.conformance")  # failures there show their values

SOURCE = "oidc-provider"


@dataclass(frozen=True, slots=True)
class ExpressClient:
    """A client of the provider, running."""

    url: str
    client_id: str


class OidcProvider:
    """The provider as the service under test knows it."""

    def __init__(self, stack: Stack, name: str) -> None:
        """Take a name that no other provider of the stack has."""
        self.path = f"/providers/{name}"
        self.webhook_url = f"{stack.api_url}/webhooks/{name}/{SOURCE}"
        self.jwks_url = f"{stack.api_url}{self.path}/jwks.json"
        self.issuer = ""
        self._stack = stack

    @property
    def merged_discovery_url(self) -> str:
        """Where the service serves the provider's discovery document with the keys of both."""
        return f"{self._stack.api_url}{self.path}/.well-known/openid-configuration"

    def register(self, issuer: str, webhook_secret: str, **metadata: Any) -> None:
        """Make it and its webhook source known."""
        self.issuer = issuer
        self._put("", {"issuer": issuer, **metadata})
        source = {"format": "standard-webhooks", "secret": webhook_secret, "sid_trust": "claim"}
        self._put(f"/sources/{SOURCE}", source)

    def register_relay(self, issuer: str) -> None:
        """Make it known, and a source for its own logout tokens, which are passed on."""
        self.issuer = issuer
        self._put("", {"issuer": issuer, "upstream": {"discovery": f"{issuer}/.well-known/openid-configuration"}})
        self._put(f"/sources/{SOURCE}", {"format": "logout-token", "pass_on": True})

    def register_client(self, client_id: str, backchannel_logout_uri: str, **metadata: Any) -> None:
        """Make a relying party known, which needs ``sid`` and lives on loopback."""
        client = {
            "backchannel_logout_uri": backchannel_logout_uri,
            "backchannel_logout_session_required": True,
            "allowed_networks": ["127.0.0.0/8"],
            **metadata,
        }
        self._put(f"/clients/{client_id}", client)

    def service_keys(self) -> list[dict[str, Any]]:
        """Return the keys that the service publishes."""
        keys: list[dict[str, Any]] = _json(self.jwks_url)["keys"]
        return keys

    def own_kids(self) -> set[str]:
        """Return the ``kid`` of each key that the provider itself publishes."""
        return {key["kid"] for key in _json(f"{self.issuer}/jwks")["keys"]}

    def signing_kid(self) -> str:
        """Return the ``kid`` of the one key that signs logout tokens."""
        (key,) = self._get("/keys")["keys"]
        kid: str = key["kid"]
        return kid

    def finds_service_key(self, client_id: str) -> bool | None:
        """Return whether the service says that this client finds its key in the provider's own JWKS."""
        (is_found,) = (each["is_found"] for each in self._get("/keys/check")["clients"] if each["client_id"] == client_id)
        found: bool | None = is_found
        return found

    def log_out_everywhere(self, sub: str) -> str:
        """End all sessions of a user through the admin API; return the ``logout_id``."""
        status, logout = self._stack.admin("POST", f"{self.path}/logouts", json={"sub": sub})
        assert status == 202, logout
        logout_id: str = logout["logout_id"]
        return logout_id

    def accepted_in_logout(self, logout_id: str) -> set[tuple[str, str]]:
        """Return (client_id, sid) of a logout's deliveries, once none of them is anything but accepted."""
        status, logout = self._stack.admin("GET", f"{self.path}/logouts/{logout_id}")
        if status == 404 or any(delivery["status"] != "accepted" for delivery in logout["deliveries"]):
            return set()
        return {(delivery["client_id"], delivery["sid"]) for delivery in logout["deliveries"]}

    def has_keys(self) -> bool:
        """Return whether the service has a key for this provider."""
        return bool(self._get("/keys")["keys"])

    def deliveries_of(self, client_id: str) -> list[dict[str, Any]]:
        """Return all deliveries to a client as the service shows them."""
        deliveries: list[dict[str, Any]] = self._get(f"/deliveries?client_id={client_id}")["deliveries"]
        return deliveries

    def accepted_by(self, client_id: str) -> list[str]:
        """Return the ``sid`` of each delivery that this client accepted."""
        path = f"/deliveries?client_id={client_id}&status=accepted"
        return [delivery["sid"] for delivery in self._get(path)["deliveries"]]

    def _get(self, path: str) -> Any:
        status, answer = self._stack.admin("GET", f"{self.path}{path}")
        assert status == 200, answer
        return answer

    def _put(self, path: str, document: dict[str, Any]) -> None:
        status, answer = self._stack.admin("PUT", f"{self.path}{path}", json=document)
        assert status in {200, 201, 204}, answer


@pytest.fixture(scope="module")
def idp(stack: Stack) -> Provider:
    """Return a provider that nobody runs: its webhooks come from the test."""
    provider = Provider(stack)
    provider.create()
    return provider


@pytest.fixture(scope="session")
def provider(stack: Stack) -> Iterator[OidcProvider]:
    """Run a provider that adds the service's keys to its own JWKS."""
    provider, config = _new_provider(stack)
    with running("op.mjs", config | {"jwks_url": provider.jwks_url}) as ready:
        provider.register(ready["url"], config["webhook_secret"])
        yield provider


@pytest.fixture(scope="session")
def untouched_provider(stack: Stack) -> Iterator[OidcProvider]:
    """Run a provider that publishes its own keys alone; the service publishes them together with its keys."""
    provider, config = _new_provider(stack)
    with running("op.mjs", config) as ready:
        upstream = {"discovery": f"{ready['url']}/.well-known/openid-configuration"}
        provider.register(ready["url"], config["webhook_secret"], upstream=upstream)
        yield provider


@contextmanager
def relying_party(provider: OidcProvider, **config: str) -> Generator[ExpressClient]:
    """Run a relying party, not yet registered at the service.

    Register it before anybody logs in there. Its key is made then, and express-openid-connect, once it has fetched a JWKS,
    refuses an unknown ``kid`` for 30 s.
    """
    with running("rp.mjs", {"issuer": provider.issuer, **config}) as ready:
        yield ExpressClient(ready["url"], ready["client_id"])


@pytest.fixture(scope="session")
def first_rp(provider: OidcProvider) -> Iterator[ExpressClient]:
    """Run a relying party that gets its logout tokens straight from the service."""
    with relying_party(provider) as rp:
        provider.register_client(rp.client_id, f"{rp.url}/backchannel-logout")
        yield rp


@pytest.fixture(scope="session")
def second_rp(provider: OidcProvider) -> Iterator[ExpressClient]:
    """Run another one."""
    with relying_party(provider) as rp:
        provider.register_client(rp.client_id, f"{rp.url}/backchannel-logout")
        yield rp


@pytest.fixture(scope="session")
def recorded_rp(provider: OidcProvider) -> Iterator[tuple[ExpressClient, Recorder]]:
    """Run a relying party whose logout requests are recorded on their way."""
    with relying_party(provider) as rp, recording(f"{rp.url}/backchannel-logout") as recorder:
        provider.register_client(rp.client_id, recorder.url)
        yield rp, recorder


def _new_provider(stack: Stack) -> tuple[OidcProvider, dict[str, str]]:
    """Return a provider that does not run yet, and what it is to run with."""
    provider = OidcProvider(stack, f"interop-{secrets.token_hex(4)}")
    secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode("ascii")
    return provider, {"webhook_url": provider.webhook_url, "webhook_secret": secret}


def _json(url: str) -> Any:
    answer = urllib3.request("GET", url, timeout=20.0, retries=False)
    assert answer.status == 200, answer.data
    return answer.json()
