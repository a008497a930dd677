"""What all boto3 clients share: how long they wait, and what they raise."""

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_CONNECT_TIMEOUT, _READ_TIMEOUT, _ATTEMPTS = 1, 3, 2

CONFIG = Config(
    connect_timeout=_CONNECT_TIMEOUT,
    read_timeout=_READ_TIMEOUT,
    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    max_pool_connections=16,
)
"""If a service hangs, a function must notice while there is time to give its message back."""

IMPATIENT = Config(connect_timeout=0.5, read_timeout=0.5, retries={"mode": "standard", "total_max_attempts": 1})
"""For calls that nothing depends on, and that somebody waits for."""

_BACKOFF, _RETRY_AFTER = 1, 5
"""Before its only retry, botocore's standard mode waits up to 1 s, and up to 5 s more if the answer has ``x-amz-retry-after``."""

LONGEST_CALL = 1000 * (_ATTEMPTS * (_CONNECT_TIMEOUT + _READ_TIMEOUT) + (_ATTEMPTS - 1) * (_BACKOFF + _RETRY_AFTER))
"""Milliseconds that one call takes at the most."""

AWS_ERRORS = (ClientError, BotoCoreError)


def aws_code(error: Exception) -> str:
    """Return the service's error code, or the name of the client's own error."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
