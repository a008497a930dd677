"""The resolver with all routes; the OpenAPI document is generated from it."""

from collections.abc import Sequence

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from backchannel.api import clients, logouts, providers, redeliveries, sessions, sources
from backchannel.api.event_handler import answer_with_problems, response
from backchannel.api.problems import problem
from backchannel.errors import MalformedRequestError

app = APIGatewayRestResolver(enable_validation=True)
answer_with_problems(app)
for routes in (providers, sources, clients, sessions, logouts, redeliveries):
    app.include_router(routes.router)


@app.exception_handler(RequestValidationError)
def _malformed(error: RequestValidationError) -> Response[str]:
    """Say which members are wrong, without repeating what the caller wrote, values or names: some are secrets."""
    errors = [_shown(each["type"], each["loc"], each["msg"]) for each in error.errors()]
    return response(problem(400, MalformedRequestError.code, "the request does not match the API's description", errors=errors))


def _shown(kind: str, place: Sequence[str | int], message: str) -> dict[str, str]:
    if kind == "extra_forbidden":
        place, message = place[:-1], "has a member that the API's description does not have"
    return {"at": "/".join(map(str, place)), "what": message}
