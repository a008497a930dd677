"""Relying parties as they are shown."""

from dataclasses import asdict, fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from backchannel.api.views import Timestamp, optional_timestamp
from backchannel.providers.clients import Client

_CLIENT_MEMBERS: dict[str, Any] = {field.name: (field.type, ...) for field in fields(Client)}
_ClientMembers: Any = create_model("_ClientMembers", **_CLIENT_MEMBERS)


class ClientView(_ClientMembers):  # type: ignore[misc] # made of the fields of Client
    """A registered relying party."""

    subject: str
    typ: str | None
    paused_by: Annotated[str | None, Field(description="the IAM principal who paused it")]
    paused_at: Timestamp | None
    resumed_by: Annotated[str | None, Field(description="the IAM principal who ended the last pause")]
    resumed_at: Annotated[Timestamp | None, Field(description="when the last pause ended: give_up_after counts from then")]


class CircuitView(BaseModel):
    """Whether a client is left alone because it keeps failing."""

    state: Literal["closed", "open", "half_open"]
    opened_at: Timestamp | None


class ClientWithCircuit(ClientView):
    """A registered relying party and its circuit."""

    circuit: CircuitView


class ClientsView(BaseModel):
    """A page of clients."""

    clients: list[ClientView]
    next: str | None


def client_shown(client: Client) -> ClientView:
    """Return a client as the API shows it."""
    times = {name: optional_timestamp(getattr(client, name)) for name in ("paused_at", "resumed_at")}
    return ClientView(**{**asdict(client), **times})
