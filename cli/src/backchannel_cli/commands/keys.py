"""`backchannel keys`: the signing keys of a provider, and whether relying parties find them."""

from typing import Annotated

import typer

from backchannel_cli.commands.names import Provider, Yes
from backchannel_cli.errors import FailureError, UsageError
from backchannel_cli.output import Column, Json
from backchannel_cli.run import of
from backchannel_cli.service import path_of

app = typer.Typer(help="Signing keys of a provider.", no_args_is_help=True)

COLUMNS = (
    Column("alg", "alg"),
    Column("state", "state"),
    Column("since", "since"),
    Column("until", "until"),
    Column("kid", "kid"),
    Column("clients", "clients"),
)

CHECKED = (
    Column("client", "client_id"),
    Column("alg", "alg"),
    Column("found", lambda client: "not known" if client["is_found"] is None else client["is_found"]),
    Column("advice", "advice"),
)


@app.command("list")
def list_(context: typer.Context, provider: Provider) -> None:
    """List a provider's signing keys: backchannel keys list acme."""
    run = of(context)
    keys = run.service.get(path_of("providers", provider, "keys"))["keys"]
    run.output.items(keys, COLUMNS, none=f"{provider} has no key yet: its first client makes one.")


@app.command()
def rotate(
    context: typer.Context,
    provider: Provider,
    alg: Annotated[str | None, typer.Option("--alg", help="Of this algorithm alone, such as ES256.")] = None,
    withdraw: Annotated[str | None, typer.Option("--withdraw", metavar="KID", help="Withdraw this key AT ONCE.")] = None,
    *,
    yes: Yes = False,
) -> None:
    """Publish the keys that sign next, in a day: backchannel keys rotate acme."""
    run = of(context)
    if alg and withdraw:
        raise UsageError("--alg and --withdraw exclude each other.", "Give one of them.")
    if withdraw:
        run.will_change(f"Withdrawing the key {withdraw}")
        run.confirm(f"Relying parties refuse tokens until they read the keys again. Withdraw {withdraw}?", yes=yes)
        document: Json = {"kid": withdraw, "emergency": True}
    else:
        run.will_change(f"Rotating the keys of {provider}")
        document = {"alg": alg} if alg else {}
    keys = run.service.post(path_of("providers", provider, "keys", "rotation"), document)["keys"]
    run.output.items(keys, COLUMNS)


@app.command()
def check(context: typer.Context, provider: Provider) -> None:
    """Say whether relying parties will trust the tokens: backchannel keys check acme."""
    run = of(context)
    found = run.service.get(path_of("providers", provider, "keys", "check"))
    if run.output.is_json:
        run.output.document(found)
    else:
        run.output.say(f"read: {found['jwks_uri'] or found['discovery'] or 'nothing'}")
        run.output.items(found["clients"], CHECKED, none=f"{provider} has no client that takes our tokens.")
    if found["failure"]:
        raise FailureError(
            f"The provider's keys could not be read: {found['failure']}",
            f"See that its issuer is right and can be reached, or set upstream: {run.command('provider', 'show', provider)}",
        )
    if missing := [client["client_id"] for client in found["clients"] if client["is_found"] is False]:
        raise FailureError(
            f"Keys that sign for {', '.join(missing)} are not in the provider's JWKS.",
            "Follow the advice, unless these relying parties were given our keys in another way (docs/keys.md).",
        )
