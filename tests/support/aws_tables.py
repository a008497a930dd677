"""The answers of an AWS with one provider and one logout in its tables: for its fan-out, and for its deliveries."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from backchannel.aws.dynamodb import key
from backchannel.providers.clients import Client
from backchannel.providers.sources import Source
from backchannel.providers.table import Provider
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.locations import Upstream
from tests.support.aws_answers import Answers, Json

KEYS = (
    SigningKey("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "ES256", "arn:aws:kms:eu-central-1:000000000000:key/ES256"),
    SigningKey("cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s", "RS256", "arn:aws:kms:eu-central-1:000000000000:key/RS256"),
)
PROVIDER = Provider("op", "https://op.example", KEYS)
LOGOUT_ID = "5d41402abc4b2a76b9719d911017c592"
SUB = "248289761001"

_PROVIDER_KEY = key("PROVIDER", PROVIDER.provider)
_CLAIM: Json = {"ended_by": {"S": LOGOUT_ID}, "fanout_id": {"S": "run"}, "ended_at": {"N": "1788256800000"}}
_SENT: Json = {"Successful": [], "Failed": []}
_WRITTEN: Json = {"Attributes": {}}


def of_deliveries(clients: Iterable[Client], sid: str | None, *, whole_session: bool) -> Answers:
    """Return the answers for deliveries that are due, one to each client, where nobody has a newer login."""
    answers: dict[str, Json] = {
        "GetItem providers PROVIDER": _document(_PROVIDER_KEY, "PROVIDER", PROVIDER),
        "GetItem circuits": {},
        "GetItem client_documents": {},
        "UpdateItem client_documents": _WRITTEN,
        "Query sessions": {"Items": [], "Count": 0, "ScannedCount": 0},
        "SendMessageBatch retry": _SENT,
        "ChangeMessageVisibility retry": {},
        "UpdateItem client_counts": _WRITTEN,
    }
    for client in clients:
        client_key, delivery_key = key("CLIENT", client.client_id), key("RP", client.client_id, sid or "")
        answers[f"GetItem providers {client_key}"] = _document(_PROVIDER_KEY, client_key, client)
        answers[f"UpdateItem deliveries {delivery_key}"] = {"Attributes": _delivery(client, delivery_key, sid, whole_session)}
    return answers


def of_fan_out(client_ids: Iterable[str], sid: str) -> Answers:
    """Return the answers for the end of a session in which each client has an RP session."""
    pk = key("SID", PROVIDER.issuer, sid)
    sessions = {client_id: _rp_session(pk, client_id, sid) for client_id in client_ids}
    return {
        "GetItem providers PROVIDER": _document(_PROVIDER_KEY, "PROVIDER", PROVIDER),
        "GetItem deliveries": {},
        "UpdateItem deliveries": _WRITTEN,
        "UpdateItem sessions": _WRITTEN,
        **{
            f"UpdateItem sessions {key('RP', client_id)}": {"Attributes": {**item, **_CLAIM}}
            for client_id, item in sessions.items()
        },
        "Query sessions": {"Items": list(sessions.values()), "Count": len(sessions), "ScannedCount": len(sessions)},
        "SendMessageBatch delivery": _SENT,
        "SendMessageBatch session_ended": _SENT,
        "UpdateItem source_activity": _WRITTEN,
    }


def of_repeated_end(sid: str, ended_at: int) -> Answers:
    """Return the answers for an end that has been fanned out before."""
    logout = _item(
        pk=LOGOUT_ID,
        sk="LOGOUT",
        provider=PROVIDER.provider,
        issuer=PROVIDER.issuer,
        sid=sid,
        ended_at=ended_at,
        created_at=ended_at,
        fanned_out_at=ended_at + 100,
    )
    return {"GetItem deliveries LOGOUT": {"Item": logout}}


def _document(pk: str, sk: str, value: Client | Provider | Source) -> Json:
    return {"Item": _item(pk=pk, sk=sk, document=json.dumps(asdict(value)))}


def of_logout_token(client: Client, source: Source, jwk_set: Json) -> Answers:
    """Return the answers for a logout token of the provider's, about a session that nobody has reported."""
    now = round(time.time() * 1000)
    provider = replace(PROVIDER, upstream=Upstream(jwks_uri=f"{PROVIDER.issuer}/jwks"))
    configured: dict[str, Any] = {
        "PROVIDER": provider,
        key("SOURCE", source.source): source,
        key("CLIENT", client.client_id): client,
    }
    copy = _item(pk="copy", body=json.dumps(jwk_set), fetched_at=now, attempted_at=now, expires_at=now // 1000 + 3600)
    return {
        **{f"GetItem providers {sk}": _document(_PROVIDER_KEY, sk, value) for sk, value in configured.items()},
        "GetItem sender_documents": {"Item": copy},
        "BatchGetItem": {"Responses": {"sessions": []}, "UnprocessedKeys": {}},
        "UpdateItem sessions": _WRITTEN,
        "UpdateItem deliveries": _WRITTEN,
        "SendMessageBatch session_ended": _SENT,
        "UpdateItem source_activity": _WRITTEN,
    }


def of_webhook(source: Source, secret: str) -> Answers:
    """Return the answers for webhooks to the one source that there is."""
    source_key = key("SOURCE", source.source)
    return {
        "GetItem providers": {},
        "GetItem providers PROVIDER": _document(_PROVIDER_KEY, "PROVIDER", PROVIDER),
        f"GetItem providers {source_key}": _document(_PROVIDER_KEY, source_key, source),
        "GetSecretValue": {"Name": source.secret_name, "SecretString": json.dumps({"secrets": [secret]})},
        "SendMessageBatch session_ended": _SENT,
        "UpdateItem source_activity": _WRITTEN,
    }


def _delivery(client: Client, sk: str, sid: str | None, whole_session: bool) -> Json:  # noqa: FBT001 - passed on
    now = round(time.time() * 1000)
    return _item(
        pk=LOGOUT_ID,
        sk=sk,
        provider=PROVIDER.provider,
        issuer=PROVIDER.issuer,
        client_id=client.client_id,
        sid=sid,
        sub=SUB,
        status="queued",
        attempts=0,
        ended_at=now + 60_000 if whole_session else now,  # within CLOCK_TOLERANCE, however long the function takes to load
        created_at=now,
        updated_at=now,
        whole_session=whole_session or None,
        runs={"run"},
        client=key(PROVIDER.issuer, client.client_id),
        status_changed=key("queued", str(now)),
        leased_until=now,
        lease="5f6e7d8c-0000-4000-8000-000000000001",
        expires_at=now // 1000 + 7_776_000,
    )


def _rp_session(pk: str, client_id: str, sid: str) -> Json:
    now = round(time.time() * 1000)
    return _item(
        pk=pk,
        sk=key("RP", client_id),
        client_id=client_id,
        sub=SUB,
        sid=sid,
        started_at=now - 60_000,
        expires_at=now // 1000 + 2_592_000,
    )


def _item(**attributes: Any) -> Json:
    """Return an item as DynamoDB writes it."""
    return {name: TypeSerializer().serialize(value) for name, value in attributes.items() if value is not None}
