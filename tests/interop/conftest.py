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
from tests.support.polling import until

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

    def register(self, issuer: str, webhook_secret: str) -> None:
        """Make it and its webhook source known."""
        self.issuer = issuer
        self._put("", {"issuer": issuer})
        source = {"format": "standard-webhooks", "secret": webhook_secret, "sid_trust": "claim"}
        self._put(f"/sources/{SOURCE}", source)

    def register_client(self, client_id: str, backchannel_logout_uri: str) -> None:
        """Make a relying party known, which needs ``sid`` and lives on loopback."""
        client = {
            "backchannel_logout_uri": backchannel_logout_uri,
            "backchannel_logout_session_required": True,
            "allowed_networks": ["127.0.0.0/8"],
        }
        self._put(f"/clients/{client_id}", client)

    def service_keys(self) -> list[dict[str, Any]]:
        """Return the keys that the service publishes."""
        keys: list[dict[str, Any]] = _json(self.jwks_url)["keys"]
        return keys

    def publishes_service_keys(self) -> bool:
        """Tell whether the provider's own JWKS holds the service's keys."""
        kids = {key["kid"] for key in self.service_keys()}
        return bool(kids) and kids <= {key["kid"] for key in _json(f"{self.issuer}/jwks")["keys"]}

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

    def accepted_by(self, client_id: str) -> list[str]:
        """Return the ``sid`` of each delivery that this client accepted."""
        path = f"{self.path}/deliveries?client_id={client_id}&status=accepted"
        status, found = self._stack.admin("GET", path)
        assert status == 200, found
        return [delivery["sid"] for delivery in found["deliveries"]]

    def _put(self, path: str, document: dict[str, Any]) -> None:
        status, answer = self._stack.admin("PUT", f"{self.path}{path}", json=document)
        assert status in {200, 201, 204}, answer


@pytest.fixture(scope="session")
def provider(stack: Stack) -> Iterator[OidcProvider]:
    """Run a provider whose JWKS holds the service's keys before any relying party reads it.

    That order matters: express-openid-connect refuses an unknown ``kid`` for 30 s after it fetched the JWKS.
    """
    provider = OidcProvider(stack, f"interop-{secrets.token_hex(4)}")
    secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode("ascii")
    config = {"webhook_url": provider.webhook_url, "webhook_secret": secret, "jwks_url": provider.jwks_url}
    with running("op.mjs", config) as ready:
        provider.register(ready["url"], secret)
        until(provider.publishes_service_keys, seconds=30)
        yield provider


@contextmanager
def _relying_party(provider: OidcProvider) -> Generator[ExpressClient]:
    with running("rp.mjs", {"issuer": provider.issuer}) as ready:
        yield ExpressClient(ready["url"], ready["client_id"])


@pytest.fixture(scope="session")
def first_rp(provider: OidcProvider) -> Iterator[ExpressClient]:
    """Run a relying party that gets its logout tokens straight from the service."""
    with _relying_party(provider) as rp:
        provider.register_client(rp.client_id, f"{rp.url}/backchannel-logout")
        yield rp


@pytest.fixture(scope="session")
def second_rp(provider: OidcProvider) -> Iterator[ExpressClient]:
    """Run another one."""
    with _relying_party(provider) as rp:
        provider.register_client(rp.client_id, f"{rp.url}/backchannel-logout")
        yield rp


@pytest.fixture(scope="session")
def recorded_rp(provider: OidcProvider) -> Iterator[tuple[ExpressClient, Recorder]]:
    """Run a relying party whose logout requests are recorded on their way."""
    with _relying_party(provider) as rp, recording(f"{rp.url}/backchannel-logout") as recorder:
        provider.register_client(rp.client_id, recorder.url)
        yield rp, recorder


def _json(url: str) -> Any:
    answer = urllib3.request("GET", url, timeout=20.0, retries=False)
    assert answer.status == 200, answer.data
    return answer.json()
