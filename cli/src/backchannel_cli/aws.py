"""What of AWS the command uses: credentials, the region, clients. Whatever imports botocore is imported when it is needed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from backchannel_cli.errors import CommandError, FailureError, NotAllowedError, UsageError

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.session import Session

NOTHING_OF_THE_SHELL: dict[str, Any] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ca_bundle": (None, None, None, None),
}
"""Settings of a botocore session for the local stack: no profile, and no file of the user's."""

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
UNKNOWN = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure"})

LOG_IN = "Log in (`aws sso login`, `aws configure`), choose a profile with --profile, or use --local for the stack of this clone."


class Aws:
    """One account and region, as the operator's shell and ~/.aws have it."""

    def __init__(
        self,
        *,
        profile: str | None = None,
        region: str | None = None,
        keys: tuple[str, str] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        self._profile = profile
        self._region = region
        self._keys = keys
        self._endpoint_url = endpoint_url

    @cached_property
    def session(self) -> "Session":
        from botocore.session import Session

        with explained():
            if not self._keys:
                return Session(profile=self._profile)
            session = Session(session_vars=NOTHING_OF_THE_SHELL)
            session.set_credentials(*self._keys)
            return session

    @cached_property
    def credentials(self) -> "Credentials":
        """Return the credentials.

        Raises:
            NotAllowedError: there are none.

        """
        with explained():
            credentials = self.session.get_credentials()
        if credentials is None:
            raise NotAllowedError("No AWS credentials were found.", LOG_IN)
        return credentials

    @cached_property
    def region(self) -> str:
        """Return the region.

        Raises:
            UsageError: none is set.

        """
        with explained():
            region = self._region or self.session.get_config_variable("region")
        if not region:
            raise UsageError("No AWS region is set.", "Give --region, or set AWS_REGION, or a region in your AWS profile.")
        return str(region)

    def client(self, service: str) -> Any:
        """Return a botocore client; use it within ``explained()``."""
        from botocore.config import Config

        _ = self.credentials  # or the error about them
        options: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 15, "retries": {"mode": "standard", "max_attempts": 3}}
        if self._endpoint_url:
            options["proxies"] = {}
        create: Any = self.session.create_client
        return create(service, region_name=self.region, endpoint_url=self._endpoint_url, config=Config(**options))

    def caller(self) -> tuple[str, str]:
        """Return the account's number and the caller's ARN."""
        with explained():
            identity = self.client("sts").get_caller_identity()
        return identity["Account"], identity["Arn"]


@contextmanager
def explained() -> Iterator[None]:
    """Turn what botocore raises into errors that say what to do next."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _of_answer(error) from error
    except BotoCoreError as error:
        raise _of_machine(error) from error
    except ResponseParserError as error:
        message = "What answers is not AWS: a proxy, or a network that wants a login."
        raise FailureError(message, "Look at the network and the proxy (HTTPS_PROXY), and at AWS_ENDPOINT_URL.") from error


def _of_answer(error: Any) -> CommandError:
    code, words = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    message = f"AWS refuses {error.operation_name}: {code}: {words}"
    if code in DENIED:
        return NotAllowedError(message, f"Ask whoever administers the account to allow {error.operation_name}.")
    if code in EXPIRED:
        return NotAllowedError(message, "Renew your credentials: `aws sso login`, or whatever your AWS profile uses.")
    if code in UNKNOWN:
        return NotAllowedError(message, LOG_IN)
    return FailureError(message, "Wait a minute and repeat it; see `aws sts get-caller-identity` and the region.")


def _of_machine(error: Exception) -> CommandError:
    from botocore import exceptions as of_botocore

    if isinstance(error, of_botocore.ProfileNotFound):
        return UsageError(f"{error}.", "See `aws configure list-profiles`, and choose with --profile or AWS_PROFILE.")
    if isinstance(error, of_botocore.InvalidRegionError):
        return UsageError(str(error), "Give --region a name such as eu-central-1.")
    if isinstance(error, of_botocore.HTTPClientError | of_botocore.ConnectionError):
        return FailureError(f"AWS does not answer: {error}", "Look at the network, the proxy, and whether the region exists.")
    return NotAllowedError(f"The AWS credentials cannot be used: {error}", LOG_IN)
