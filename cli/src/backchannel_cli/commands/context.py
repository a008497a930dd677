"""`backchannel context`: which service the other commands are about."""

import typer

from backchannel_cli.run import of


def context(context: typer.Context) -> None:
    """Say which service, account, region and stack this is about, and how it was found: backchannel context."""
    run = of(context)
    place = run.place
    account, caller = place.aws.caller()
    run.output.item(
        {
            "url": place.url,
            "account": account,
            "region": place.region,
            "stack": place.stack,
            "environment": place.environment,
            "prod": place.is_prod,
            "found": place.found,
            "caller": caller,
        }
    )
