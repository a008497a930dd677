"""Secrets: read from stdin, or asked for without an echo; never an argument, never shown."""

import sys

from backchannel_cli.errors import UsageError
from backchannel_cli.run import Run

LONGEST = 100_000


def read(run: Run, what: str) -> str:
    """Return the secret on the next line of stdin; on a terminal, ask for it."""
    if sys.stdin.isatty():
        if not run.may_ask:
            raise UsageError(f"The {what} is missing.", "Pipe it in: `… --secret-stdin < file`, a line for each secret.")
        from getpass import getpass

        secret = getpass(f"{what}: ", stream=sys.stderr)
    else:
        secret = run.line(LONGEST)
    if not (secret := secret.strip()):
        raise UsageError(f"The {what} is empty.", "Give it as a line of stdin, such as `… < file`.")
    return secret
