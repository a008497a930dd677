"""The resolver with all routes; the OpenAPI document is generated from it."""

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
    """Say which members are wrong, without repeating their values: some are secrets."""
    errors = [{"at": "/".join(str(part) for part in each["loc"]), "what": each["msg"]} for each in error.errors()]
    return response(problem(400, MalformedRequestError.code, "the request does not match the API's description", errors=errors))
