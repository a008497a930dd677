"""`backchannel test`: one good token to one relying party, and what came of it."""

import typer

from backchannel_cli.commands.client import path_of_client
from backchannel_cli.commands.names import Client
from backchannel_cli.errors import NotAcceptedError
from backchannel_cli.output import Json
from backchannel_cli.run import of

GOOD = frozenset({"accepted", "refused_as_it_must", "no_key_needed"})
"""What an RP should come to; the last two, if its client has ``own_tokens`` false."""

DOUBT = "The token may have been sent. It is about nobody, so the test can be repeated."


def test(context: typer.Context, client: Client) -> None:
    """Send a relying party one good token about nobody, and say what happened: backchannel test acme/wiki."""
    run, path = of(context), path_of_client(client)
    result = run.service.post(f"{path}/test", doubt=DOUBT)
    if run.output.is_json:
        run.output.document(result)
    else:
        run.output.item(_summary(result))
        run.output.line(result["meaning"])
    if result["code"] not in GOOD:
        raise NotAcceptedError(
            f"The test of {client} came to {result['code']}.",
            f"Correct what it says at the relying party, or as it is registered: {run.command('client', 'show', client)}\n"
            f"Then test it again: {run.command('test', client)}",
        )


def _summary(result: Json) -> Json:
    token, certificate = result["token"], result["certificate"]
    lines = {
        "result": result["code"],
        "failed at": result["failed_at"],
        "detail": result["detail"],
        "answer": result["status_code"],
        "error": result["error"],
        "error_description": result["error_description"],
        "address": result["address"],
        "forbidden": [f"{each['address']}: {each['forbidden']}" for each in result["addresses"] if each["forbidden"]],
        "tls": result["tls_version"],
        "certificate": certificate and f"for {', '.join(certificate['names'])}, until {certificate['not_after']}",
        "milliseconds": ", ".join(f"{step} {taken:.0f}" for step, taken in result["milliseconds"].items()),
        "token header": token and token["header"],
        "token claims": token and token["claims"],
        "a delivery would be": f"{result['outcome']['status']}, in the end {result['outcome']['in_the_end']}",
        "a delivery waits": [each["meaning"] for each in result["held_up"]],
    }
    return {name: value for name, value in lines.items() if value not in (None, [], "")}
