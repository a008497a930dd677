"""What it means when the service, or API Gateway before it, refuses a request; and what to do next."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from backchannel_cli.errors import CommandError, FailureError, NotAllowedError, NotFoundError, UsageError

Command = Callable[..., str]
"""Makes a command for the same service of its words, as it can be pasted into a shell."""

CLASSES: Mapping[int, type[CommandError]] = {
    400: UsageError,
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    413: UsageError,
    415: UsageError,
}

GATEWAY: Mapping[str, str] = {
    "expired": "Renew your credentials (`aws sso login`, or whatever your AWS profile uses) and look at this machine's clock.",
    "not authorized": "Ask whoever administers the account for execute-api:Invoke on this API.",
    "valid region": "The signature is for another region: give --region, or choose the stack with --stack.",
    "security token": "AWS does not know these credentials: see `aws sts get-caller-identity`, and choose with --profile.",
    "authentication token": "There is no such path: compare the address ({context}) with the stack's output ApiUrl.",
    "signature": "The credentials or the region are not right for this service: see {context}.",
}
"""Words of API Gateway, which says nothing else, and what to do about each; the first that is found counts."""

OTHERS: Mapping[int, str] = {
    400: "Correct what it names, and run the command again.",
    403: "Run {context} to see with which account and region you asked.",
    409: "Look at it as it is now (`show`), and repeat the change.",
    413: "Send less at a time.",
    429: "The API is throttled: wait a minute, or raise ThrottlingRate of the stack.",
}
INTERNAL = "It is an internal failure of the service: run {doctor}, and read request.failed in the log of `admin`."

UNKNOWN = "Run {doctor}."

LISTS: Mapping[str, str] = {"clients": "client", "sources": "source", "logouts": "logout"}
"""The group of commands whose `list` shows what is missing of a provider."""

_SERVER = 500


def refusal(method: str, path: str, status: int, document: Mapping[str, Any], command: Command) -> CommandError:
    """Return the error for an answer that is no success."""
    words = str(document.get("detail") or document.get("message") or document.get("Message") or "")
    code = document.get("code")
    kind = CLASSES.get(status, FailureError)
    label = f"{status} {code}" if code else f"{status}"
    message = f"{method} {unquote(path)}: {label}{': ' + words if words else ''}"
    if status == 404:  # noqa: PLR2004 - HTTP's
        return kind(message, f"See what there is: `{command(*_list_of(method, path))}`.")
    advice = _advice(path, status, words.lower())
    return kind(message, advice.format(context=f"`{command('context')}`", doctor=f"`{command('doctor')}`"))


def _advice(path: str, status: int, words: str) -> str:
    if status >= _SERVER:
        return INTERNAL
    if path.startswith("/webhooks/") and status == 401:  # noqa: PLR2004 - HTTP's
        return "Compare the secret with the source's, and the clocks. A secret that was changed counts after a minute."
    if status in {401, 403}:
        for part, advice in GATEWAY.items():
            if part in words:
                return advice
    return OTHERS.get(status, UNKNOWN)


def _list_of(method: str, path: str) -> tuple[str, ...]:
    """Return the words of the command that lists what was not found; a PUT makes what it names, so it misses the provider."""
    match [unquote(part) for part in path.strip("/").split("/")]:
        case ["providers", provider, collection, _, *_] if collection in LISTS and method != "PUT":
            return LISTS[collection], "list", provider
        case ["mass-logouts", *_]:
            return "mass-logout", "list"
        case _:
            return "provider", "list"
