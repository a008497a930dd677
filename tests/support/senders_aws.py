"""The senders that AWS IAM proves. Nobody can send their events over HTTP."""

from backchannel.webhooks.request import Request
from tests.support.mutations import AT
from tests.support.sender import Json, Sender, octets, samples

POOL_ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI"

COGNITO: tuple[Json, ...] = (
    *({**event, "detail": {**event["detail"], "errorCode": ""}} for event in samples("cognito-eventbridge-*.json")),
    *({**event, "receivedAt": AT} for event in samples("cognito-lambda-*.json")),
)

AWS_SENDERS: tuple[Sender, ...] = (Sender("cognito", (), COGNITO, lambda event: Request(octets(event), {}), issuer=POOL_ISSUER),)
