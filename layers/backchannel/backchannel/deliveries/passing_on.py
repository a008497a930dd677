"""Whether a delivery is one token of the provider's, passed on as it is, and until when. Pure; docs/providers/relay.md."""

import base64
import json
from dataclasses import dataclass, field, replace

from backchannel.deliveries.history import past_attempts
from backchannel.deliveries.outcomes import Outcome, Status
from backchannel.deliveries.records import DeliveryRecord
from backchannel.providers.clients import Client

TOKEN_EXPIRED = Outcome(Status.UNDELIVERABLE, "passed_on_token_expired")
TOKEN_MISSING = "passed_on_token_missing"

WAIT_FOR_TOKEN = 120_000
"""Milliseconds for which a delivery waits for its token: a provider tells its clients one after another, and some tries fail."""

LAST_ATTEMPT = 3_000
"""Milliseconds before a token can be sent no more at which its last attempt is due: its message may come a little late."""

_FIRST_WAIT = 1_000


@dataclass(frozen=True, slots=True)
class Passing:
    """What a delivery is sent: this token, about an end at ``ended_at``. Its last attempt is due at ``until``.

    ``is_last``: nothing is sent after that, since the token runs out and the client takes no other.
    """

    token: str = field(repr=False)
    ended_at: int
    until: int
    is_last: bool


def passing(record: DeliveryRecord, client: Client, now: int) -> Passing | Outcome | None:
    """Return the token to pass on; None if one of ours is sent; or what becomes of the delivery without either.

    None, too, while the client is paused and the token is missing: nothing is given up meanwhile, and it may still come.
    Tokens for a client that wants them encrypted are ours: what is passed on was not encrypted.
    """
    passed = record.passed_on
    if passed is not None and client.id_token_encrypted_response_alg is None:
        give_up_at, usable_until = tried_since(record, client) + client.give_up_after * 1000, passed.usable_until
        if usable_until is None or now <= usable_until:
            runs_out = usable_until is not None and (client.paused or usable_until - LAST_ATTEMPT < give_up_at)
            until = usable_until - LAST_ATTEMPT if usable_until is not None and runs_out else give_up_at
            return Passing(passed.token, passed.ended_at, until, is_last=runs_out and not client.own_tokens)
        if not client.own_tokens:
            return TOKEN_EXPIRED
    if client.own_tokens or client.paused:
        return None
    age = now - tried_since(record, client)
    if age >= WAIT_FOR_TOKEN:
        return Outcome(Status.UNDELIVERABLE, TOKEN_MISSING)
    return Outcome(record.status, TOKEN_MISSING, max(_FIRST_WAIT, age // 2))


def tried_since(record: DeliveryRecord, client: Client) -> int:
    """Return from when the time counts after which a delivery is given up: while its client was paused, it was not tried."""
    return max(record.created_at, client.resumed_at or 0)


def attempts_since(record: DeliveryRecord, since: int) -> int:
    """Return how many attempts count: the schedule begins anew when a client is resumed."""
    if since <= record.created_at:
        return record.attempts
    return sum(each.at >= since for each in past_attempts(record.history))


def as_addressed(client: Client, token: str) -> Client:
    """Return the client as if its tokens named what this one names, which cannot be changed."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if "sid" not in claims:
        return replace(client, subject="sub_only", backchannel_logout_session_required=False)
    return replace(client, subject="both" if "sub" in claims else "sid_only")
