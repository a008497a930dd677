"""``…/clients/{client_id}/test``: sends a relying party one good token about nobody, and says what happened."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from pydantic import BaseModel, Field

from backchannel.api.dependencies import dependencies, requester
from backchannel.api.parameters import EscapedClientId, Name, client_id_in_path
from backchannel.api.requests import ClientTestRequest
from backchannel.api.views import responses
from backchannel.deliveries import meanings
from backchannel.deliveries.circuits import Circuit
from backchannel.deliveries.meanings import Meaning
from backchannel.deliveries.outcomes import Status
from backchannel.providers.clients import Client

router = APIGatewayRouter()

TestStep = Literal["prepare", "sign", "resolve", "connect", "tls", "send", "answer"]


class MeaningView(BaseModel):
    """What something means; ``code`` is stable."""

    code: str
    meaning: str


class TestOutcomeView(BaseModel):
    """What a real delivery would come to; ``in_the_end``: if it stays so."""

    status: Status
    code: str
    retry_in: Annotated[int | None, Field(description="about how many seconds until the next attempt; null if there is none")]
    in_the_end: Status


class TestTokenView(BaseModel):
    """What the token says. The token itself is not shown."""

    header: dict[str, str | None]
    claims: dict[str, str | int | None]
    encryption: dict[str, str] | None


class TestAddressView(BaseModel):
    """An address of the host; ``forbidden``: why it must not be dialled. One such address is enough, and none is dialled."""

    address: str
    forbidden: str | None
    dialled: bool


class CertificateView(BaseModel):
    """The server's certificate, once it is verified."""

    subject: str | None
    issuer: str | None
    names: list[str]
    not_before: datetime
    not_after: datetime


class ClientTestView(MeaningView):
    """What happened to one token, step by step, and what it means. A step after ``failed_at`` was not taken."""

    held_up: Annotated[list[MeaningView], Field(description="why a real delivery would wait; a test does not")]
    outcome: TestOutcomeView
    failed_at: Annotated[TestStep | None, Field(description="the step that failed; null if there was an answer")]
    detail: Annotated[str | None, Field(description="what the failure says")]
    milliseconds: Annotated[dict[TestStep, float], Field(description="how long each step took, also one that failed")]
    token: TestTokenView | None
    addresses: list[TestAddressView]
    address: Annotated[str | None, Field(description="the address that was dialled last")]
    tls_version: str | None
    certificate: CertificateView | None
    status_code: int | None
    error: Annotated[str | None, Field(description="what the relying party says: its JSON error, or the beginning of a text")]
    error_description: str | None


@router.post(
    "/providers/<provider>/clients/<client_id>/test", summary="Test a relying party", responses=responses(ClientTestView, 200)
)
def post(
    provider: Name,
    client_id: EscapedClientId,
    request: ClientTestRequest | None = None,  # noqa: ARG001 - checked, so that nobody thinks that a subject was taken
) -> ClientTestView:
    """Send one good logout token for a made-up subject, the way a delivery is sent, and say what happened.

    Nobody is logged out, no delivery is recorded, and the client's circuit does not count it. The client is read anew: a change
    that deliveries see within a minute is tested at once. A body is optional, and has no members.
    """
    using = dependencies(router)
    using.providers.get(provider)
    client = using.providers.get_client(provider, client_id_in_path(client_id))
    circuit = using.circuits.get(provider, client.client_id)
    asked = {"provider": provider, "client_id": client.client_id, "requester": requester(router)}
    tested = using.delivery.call(test=asked)
    held_up = [MeaningView(code=each.code, meaning=each.text) for each in _held_up(client, circuit)]
    return ClientTestView(**tested, held_up=held_up)


def _held_up(client: Client, circuit: Circuit) -> Iterator[Meaning]:
    if client.paused:
        yield meanings.PAUSED
    if circuit.state != "closed":
        yield meanings.CIRCUIT_OPEN
