"""The provider's own logout tokens, passed on: its relying parties know nothing of the service, and no key of it."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import urllib3
from joserfc import jws

from local.client import Stack
from tests.support.aws import Aws
from tests.support.polling import until

from .browser import Browser
from .conftest import ExpressClient, OidcProvider
from .processes import running
from .recorder import Recorder, recording

type Relayed = tuple[ExpressClient, Recorder]


@pytest.fixture(scope="module")
def aws(stack: Stack) -> Aws:
    return Aws(stack)


@pytest.fixture(scope="module")
def relaying_provider(stack: Stack) -> Iterator[OidcProvider]:
    """Run a provider that sends its own logout tokens, all of them to the service."""
    provider = OidcProvider(stack, f"interop-{secrets.token_hex(4)}")
    with running("op.mjs", {"sends_logout_tokens": "yes"}) as ready:
        provider.register_relay(ready["url"])
        yield provider


@pytest.fixture(scope="module")
def relayed(relaying_provider: OidcProvider) -> Iterator[tuple[Relayed, Relayed, Relayed]]:
    """Run three relying parties whose logout URI at the provider is the service's."""
    with ExitStack() as running_all:

        def run() -> Relayed:
            config = {"issuer": relaying_provider.issuer, "backchannel_logout_uri": relaying_provider.webhook_url}
            ready = running_all.enter_context(running("rp.mjs", config))
            rp = ExpressClient(ready["url"], ready["client_id"])
            recorder = running_all.enter_context(recording(f"{rp.url}/backchannel-logout"))
            relaying_provider.register_client(rp.client_id, recorder.url, own_tokens=False)
            return rp, recorder

        yield run(), run(), run()


@pytest.fixture(scope="module")
def carol(relaying_provider: OidcProvider, relayed: tuple[Relayed, Relayed, Relayed]) -> Browser:
    """Log out a user whose relying party is down; her token lives for two minutes, so what becomes of it is looked at later."""
    _, _, (third, down) = relayed
    carol = Browser()
    carol.log_in(third.url, "carol")
    down.is_down = True
    carol.log_out(relaying_provider.issuer)
    return carol


@pytest.mark.usefixtures("carol")
def test_both_sessions_end_by_the_provider_s_own_tokens_also_at_the_one_that_was_down(
    relaying_provider: OidcProvider, relayed: tuple[Relayed, Relayed, Relayed], aws: Aws
) -> None:
    (first, up), (second, down), _ = relayed
    alice, bob = Browser(), Browser()
    for each in (first, second):
        alice.log_in(each.url, "alice")
    bob.log_in(second.url, "bob")
    down.is_down = True
    began = time.time()

    alice.log_out(relaying_provider.issuer)

    until(lambda: not alice.is_logged_in(first.url), seconds=30)
    time.sleep(max(0.0, began + 60 - time.time()))
    assert alice.is_logged_in(second.url)
    down.is_down = False
    until(lambda: not alice.is_logged_in(second.url), seconds=60)
    assert bob.is_logged_in(second.url)
    tokens = [body.decode().removeprefix("logout_token=") for body in (*up.bodies, *down.bodies)]
    kids = {jws.extract_compact(token.encode()).headers()["kid"] for token in tokens}
    assert kids <= relaying_provider.own_kids()
    assert len(set(tokens)) == 2, "each relying party its own, and the same at each attempt"
    assert not relaying_provider.has_keys()
    until(lambda: relaying_provider.accepted_by(second.client_id), seconds=30)
    logs = "".join(line for group in aws.log_groups() for line in aws.log_lines(group, began))
    shown = json.dumps([relaying_provider.deliveries_of(each.client_id) for each in (first, second)])
    assert "delivery.attempted" in logs
    for token in tokens:
        assert all(part not in logs + shown for part in token.split(".")[1:])


def test_a_token_that_expires_meanwhile_ends_as_stated(
    relaying_provider: OidcProvider, relayed: tuple[Relayed, Relayed, Relayed], carol: Browser
) -> None:
    _, _, (third, down) = relayed

    def ends() -> set[tuple[str, str]]:
        return {(each["status"], each["last_code"]) for each in relaying_provider.deliveries_of(third.client_id)}

    until(lambda: ("undeliverable", "passed_on_token_expired") in ends(), seconds=150, every=0.5)
    down.is_down = False
    assert carol.is_logged_in(third.url)


def test_what_is_no_logout_token_is_refused_as_by_a_relying_party(relaying_provider: OidcProvider) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    url = relaying_provider.webhook_url

    answer = urllib3.request("POST", url, body="logout_token=a.b.c", headers=form, timeout=20.0, retries=False)

    assert (answer.status, answer.headers["cache-control"]) == (400, "no-store")
    assert answer.json()["error"] == "invalid_request"
