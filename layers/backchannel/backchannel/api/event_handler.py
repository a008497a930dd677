"""Powertools' event handler, with every error as a problem document."""

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from backchannel.api.problems import CONTENT_TYPE, Problem, problem, problem_of
from backchannel.errors import CallerError, InternalFailure, NotFoundError


def answer_with_problems(app: APIGatewayRestResolver) -> None:
    """Make the resolver answer errors and unknown paths with problem documents."""

    @app.exception_handler([CallerError, InternalFailure])
    def _failed(error: CallerError | InternalFailure) -> Response[str]:
        return response(problem_of(error))

    @app.not_found
    def _not_found(_: Exception) -> Response[str]:
        return response(problem(NotFoundError.status, NotFoundError.code, "no such resource"))


def response(answer: Problem) -> Response[str]:
    """Return a problem as the event handler sends it."""
    return Response(answer.status, CONTENT_TYPE, answer.body, dict(answer.headers))
