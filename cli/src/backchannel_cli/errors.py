"""What ends a command before it is done: one tree; a class for each exit code."""


class CommandError(Exception):
    """The command cannot go on; ``next_step`` says what the operator can do about it."""

    exit_code = 1

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step


class FailureError(CommandError):
    """The service, AWS or the network failed."""


class UsageError(CommandError):
    """The command was not understood, or the service refuses what it asks for."""

    exit_code = 2


class NotFoundError(CommandError):
    """There is no such thing: a stack, a provider, a client."""

    exit_code = 3


class NotAllowedError(CommandError):
    """There are no credentials, or they may not do this."""

    exit_code = 4


class NotAcceptedError(CommandError):
    """The command was carried out, but not everything was accepted."""

    exit_code = 5


class StoppedError(CommandError):
    """The operator pressed ^C; work that the service has taken on goes on there."""

    exit_code = 130
