"""The resolver with all routes; the OpenAPI document is generated from it."""

from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from backchannel import strict_json
from backchannel.api import clients, key_check, keys, logouts, mass_logouts, own_keys, providers, redeliveries, sessions, sources
from backchannel.api.event_handler import answer_with_problems, response
from backchannel.api.problems import problem
from backchannel.errors import MalformedRequestError, ParameterUnknownError


def _read_json(body: str) -> Any:
    """Read a body.

    Raises:
        MalformedRequestError: it is no JSON object, or not one that every reader reads alike and that can be written again.

    """
    try:
        return strict_json.parse(body)
    except ValueError as error:
        raise MalformedRequestError("the body is not JSON that can be read") from error


app = APIGatewayRestResolver(enable_validation=True, json_body_deserializer=_read_json)
answer_with_problems(app)
for routes in (providers, keys, own_keys, key_check, sources, clients, sessions, logouts, redeliveries, mass_logouts):
    app.include_router(routes.router)


def _refuse_unknown_parameters(app: APIGatewayRestResolver, proceed: Callable[..., Response[Any]]) -> Response[Any]:
    """Refuse a query parameter that the route does not have: a filter with a typing error would show what nobody asked for.

    Raises:
        ParameterUnknownError: there is one.

    """
    known = {each.alias for each in app.context["_route"].dependant.query_params}
    if app.current_event.query_string_parameters.keys() - known:
        raise ParameterUnknownError(f"the query may have {', '.join(sorted(known)) or 'no parameters'}, and has others")
    return proceed(app)


app.use([_refuse_unknown_parameters])


@app.exception_handler(RequestValidationError)
def _malformed(error: RequestValidationError) -> Response[str]:
    """Say which members are wrong, without repeating what the caller gave: a value may be a secret, and so may a name."""
    errors = [{"at": _place(each), "what": each["msg"]} for each in error.errors()]
    return response(problem(400, MalformedRequestError.code, "the request does not match the API's description", errors=errors))


def _place(error: Mapping[str, Any]) -> str:
    """Return where an error is; a member that is not ours goes by ``*``."""
    known = error["loc"][:-1] if error["type"] == "extra_forbidden" else error["loc"]
    return "/".join([str(part) for part in known] + ["*"] * (len(error["loc"]) - len(known)))
