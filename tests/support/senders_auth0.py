"""Auth0 as a sender: its log streams."""

from backchannel.webhooks.request import Request
from tests.support.sender import STATIC_SECRET, Json, Sender, octets, samples

LOGS: tuple[Json, ...] = tuple(
    item for sample in samples("auth0-logstream-*.json") for item in (sample if isinstance(sample, list) else [sample])
)

AUTH0: tuple[Sender, ...] = (
    Sender(
        "auth0",
        (f"Bearer {STATIC_SECRET}",),
        LOGS,
        lambda log: Request(octets(log), {"authorization": f"Bearer {STATIC_SECRET}"}),
        binds_body=False,
    ),
    Sender("auth0-eventbridge", (), tuple({"detail": log} for log in LOGS), lambda event: Request(octets(event), {})),
)
