"""Whether a delivery is one token of the provider's, passed on as it is, and until when. Pure; docs/providers/relay.md."""

import base64
import json
from dataclasses import dataclass, replace

from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.providers.clients import Client

TOKEN_EXPIRED = Outcome(Status.UNDELIVERABLE, "passed_on_token_expired")
TOKEN_MISSING = "passed_on_token_missing"

WAIT_FOR_TOKEN = 120_000
"""Milliseconds for which a delivery waits for its token: a provider tells its clients one after another, and some tries fail."""

_FIRST_WAIT = 1_000


@dataclass(frozen=True, slots=True)
class Passing:
    """What a delivery is sent: this token, until then (milliseconds since the epoch)."""

    token: str
    until: int


def passing(record: DeliveryRecord, client: Client, now: int) -> Passing | Outcome | None:
    """Return the token to pass on; None if one of ours is sent; or what becomes of the delivery without either.

    Tokens for a client that wants them encrypted are ours: what is passed on was not encrypted.
    """
    passed = record.passed_on
    if passed is not None and client.id_token_encrypted_response_alg is None:
        until = min(passed.usable_until(_give_up_at(record, client)), _give_up_at(record, client))
        if now <= until:
            return Passing(passed.token, until)
        if not client.own_tokens:
            return TOKEN_EXPIRED
    if client.own_tokens:
        return None
    age = now - record.created_at
    if age >= WAIT_FOR_TOKEN:
        return Outcome(Status.UNDELIVERABLE, TOKEN_MISSING)
    return Outcome(record.status, TOKEN_MISSING, max(_FIRST_WAIT, age // 2))


def as_addressed(client: Client, token: str) -> Client:
    """Return the client as if its tokens named what this one names, which cannot be changed."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if "sid" not in claims:
        return replace(client, subject="sub_only", backchannel_logout_session_required=False)
    return replace(client, subject="both" if "sub" in claims else "sid_only")


def _give_up_at(record: DeliveryRecord, client: Client) -> int:
    return record.created_at + client.give_up_after * 1000
