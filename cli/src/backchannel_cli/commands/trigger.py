"""`backchannel trigger`: a webhook as a source of the format `standard-webhooks` sends it, signed with its secret."""

import base64
import binascii
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from backchannel_cli import secrets, settings
from backchannel_cli.commands.names import both
from backchannel_cli.commands.source import Secret, path_of_source
from backchannel_cli.errors import UsageError
from backchannel_cli.run import of
from backchannel_cli.service import path_of

FORMAT = "standard-webhooks"
EVENTS = ("rp_session.started", "session.ended", "user.sessions_ended")


Data = Annotated[
    list[str] | None, typer.Argument(metavar="[MEMBER=VALUE]...", help="The event's data, such as sub=user-1 sid=s-1.")
]


def trigger(
    context: typer.Context,
    event: Annotated[str, typer.Argument(metavar="EVENT", help=f"One of {', '.join(EVENTS)}.")],
    source: Annotated[str, typer.Option("--source", metavar="PROVIDER/SOURCE", help="Such as acme/app.")],
    data: Data = None,
    *,
    secret: Secret = False,
) -> None:
    """Send a signed webhook of a source: backchannel trigger session.ended sid=s-1 --source acme/app --secret-stdin."""
    from hashlib import sha256

    run, path = of(context), path_of_source(source)
    if event not in EVENTS:
        raise UsageError(f"{event!r} is no event.", f"Use one of {', '.join(EVENTS)}.")
    if not secret:
        raise UsageError("The webhook has to be signed.", "Give --secret-stdin, and the source's secret as a line of stdin.")
    form = run.service.get(path)["format"]
    if form != FORMAT:
        raise UsageError(
            f"{source} takes the format {form}; only {FORMAT} can be signed here.",
            "Let its sender send, or ask what a payload would cause: POST /providers/…/sources/…/preview.",
        )
    run.will_change(f"Sending {event} as {source}")
    body = json.dumps({"type": event, "timestamp": datetime.now(UTC).isoformat(), "data": settings.texts(data or [])}).encode()
    proof = signature(secrets.read(run, "secret"), body, f"msg_{sha256(body).hexdigest()[:24]}", int(time.time()))
    taken = run.webhooks.request("POST", path_of("webhooks", *both(source, "source")), body=body, headers=proof)
    run.output.item(taken)


def signature(secret: str, body: bytes, event_id: str, now: int) -> Mapping[str, str]:
    """Return the headers of Standard Webhooks for a body; ``now`` in seconds.

    Raises:
        UsageError: the secret is none of Standard Webhooks.

    """
    import hmac

    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("The secret is not base64.", "Give the secret as the source has it: whsec_ and base64.") from None
    signed = hmac.digest(key, f"{event_id}.{now}.".encode() + body, "sha256")
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
