"""`python -m local.demo [--refuse N]`: one user, three relying parties, one webhook that ends the session.

With ``--refuse N``, N of the relying parties refuse their tokens.
"""

import argparse
import base64
import secrets
import sys
import time
from contextlib import ExitStack
from typing import Any

from local import pasted
from local.client import Stack, event
from local.relying_party import RelyingParty

CLIENTS = (("wiki", "RS256"), ("mail", "ES256"), ("chat", "PS256"))
PATIENCE = 30
"""Seconds to wait for the deliveries, cold starts included."""


def main(refusing: int) -> int:
    stack = Stack.load()
    provider = f"demo-{secrets.token_hex(4)}"
    issuer = f"http://127.0.0.1/{provider}"
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    sub, sid = "user-1", f"session-{secrets.token_hex(4)}"
    say(f"provider {provider}, its webhook source, and three relying parties")
    accept(stack.admin("PUT", f"/providers/{provider}", {"issuer": issuer}))
    source = {"format": "standard-webhooks", "secret": secret, "sid_trust": "claim"}
    accept(stack.admin("PUT", f"/providers/{provider}/sources/app", source))

    with ExitStack() as running:
        rps = [
            running.enter_context(
                RelyingParty(client_id, alg, issuer, f"{stack.api_url}/providers/{provider}/jwks.json", number < refusing)
            )
            for number, (client_id, alg) in enumerate(CLIENTS)
        ]
        for rp in rps:
            client = {
                "backchannel_logout_uri": rp.backchannel_logout_uri,
                "backchannel_logout_session_required": True,
                "id_token_signed_response_alg": rp.alg,
                "allowed_networks": ["127.0.0.0/8"],
            }
            accept(stack.admin("PUT", f"/providers/{provider}/clients/{rp.client_id}", client))

        say(f"{sub} logs in at each of them: three signed webhooks, rp_session.started")
        for rp in rps:
            rp.log_in(sub, sid)
            started = event("rp_session.started", sub=sub, sid=sid, client_id=rp.client_id)
            accept(stack.webhook(provider, "app", secret, f"start-{rp.client_id}", started))

        say(f"{sub} logs out at the provider: one signed webhook, session.ended")
        began = time.perf_counter()
        accept(stack.webhook(provider, "app", secret, "end", event("session.ended", sub=sub, sid=sid)))
        deliveries = wait_for_deliveries(stack, provider, sid)

        ended = [rp.ended_at for rp in rps if rp.ended_at is not None]
        show(rps, deliveries)
        milliseconds = round((max(ended, default=began) - began) * 1000)
        sys.stdout.write(f"demo: {len(ended)} of {len(rps)} relying parties logged out in {milliseconds} ms\n")
        logouts = {each["logout_id"] for each in deliveries.values()}
        pasted.show(
            "Look at it with the command, here:",
            *(f"logout show {provider}/{logout}" for logout in logouts),
            f"session list {provider} --sub {sub}",
            f"status {provider}",
        )
        return 0 if len(ended) == len(rps) else 1


def wait_for_deliveries(stack: Stack, provider: str, sid: str) -> dict[str, dict[str, Any]]:
    """Return the deliveries by client, once each has been attempted or the time is up."""
    deliveries: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        _, found = stack.admin("GET", f"/providers/{provider}/sessions?sid={sid}")
        logout_ids = {session["logout_id"] for session in found["sessions"]} - {None}
        if logout_ids:
            status, logout = stack.admin("GET", f"/providers/{provider}/logouts/{logout_ids.pop()}")
            deliveries = logout["deliveries"] if status == 200 else []  # noqa: PLR2004 - not there yet
            if len(deliveries) == len(CLIENTS) and all(delivery["attempts"] for delivery in deliveries):
                break
        time.sleep(0.05)
    return {delivery["client_id"]: delivery for delivery in deliveries}


def show(rps: list[RelyingParty], deliveries: dict[str, dict[str, Any]]) -> None:
    """Print what happened."""
    row = "  {:<8} {:<6} {:<10} {:<9} {:<10} {}"
    print(row.format("client", "alg", "status", "attempts", "code", "session at the relying party"))
    for rp in rps:
        delivery = deliveries.get(rp.client_id, {"status": "queued", "attempts": 0, "last_code": None})
        state = "alive" if rp.ended_at is None else "ended"
        print(row.format(rp.client_id, rp.alg, delivery["status"], delivery["attempts"], delivery["last_code"] or "", state))


def accept(answer: Any) -> None:
    """Exit unless the service accepted the request."""
    status, body = (answer.status, answer.body) if hasattr(answer, "status") else answer
    if status >= 300:  # noqa: PLR2004 - HTTP's line between success and the rest
        sys.exit(f"demo: the service answered {status}: {body}")


def say(what: str) -> None:
    print(f"demo: {what}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refuse", type=int, default=0, metavar="N", help="how many relying parties refuse their tokens")
    sys.exit(main(parser.parse_args().refuse))
