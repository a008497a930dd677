"""How a command names things: ``acme``, and ``acme/wiki`` for a client or source of it."""

from backchannel_cli.errors import UsageError


def both(name: str, what: str) -> tuple[str, str]:
    """Return the two parts of ``provider/client``; a client's id may have slashes of its own."""
    provider, slash, rest = name.partition("/")
    if not provider or not slash or not rest:
        raise UsageError(f"{name!r} does not name a {what}.", f"Write PROVIDER/{what.upper()}, such as acme/wiki.")
    return provider, rest
