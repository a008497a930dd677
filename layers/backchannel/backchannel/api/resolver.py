"""The resolver with all routes; the OpenAPI document is generated from it."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from backchannel.api import (
    client_counts,
    client_tests,
    clients,
    deliveries,
    key_check,
    keys,
    logout_list,
    logouts,
    mass_logouts,
    merge_patch,
    own_keys,
    providers,
    redeliveries,
    sessions,
    sources,
)
from backchannel.api.bodies import parsed
from backchannel.api.event_handler import answer_with_problems, response
from backchannel.api.problems import place, problem
from backchannel.errors import MalformedRequestError, ParameterUnknownError


class _Resolver(APIGatewayRestResolver):
    """Reads a merge patch as the JSON that it is: Powertools knows ``application/json`` alone."""

    def resolve(self, event: Any, context: Any) -> dict[str, Any]:
        headers = event.get("headers") or {}
        name = next((name for name in headers if name.lower() == "content-type"), None)
        if name is not None and headers[name].partition(";")[0].strip().lower() == merge_patch.MEDIA_TYPE:
            event = {**event, "headers": {**headers, name: "application/json"}}
        return super().resolve(event, context)


app: APIGatewayRestResolver = _Resolver(enable_validation=True, json_body_deserializer=parsed)
answer_with_problems(app)
for routes in (
    *(providers, keys, own_keys, key_check, sources, clients, client_counts, client_tests),
    *(sessions, logouts, logout_list, deliveries, redeliveries, mass_logouts),
):
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
    errors = [{"at": place(each), "what": each["msg"]} for each in error.errors()]
    return response(problem(400, MalformedRequestError.code, "the request does not match the API's description", errors=errors))
