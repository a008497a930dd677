"""What all boto3 clients share: how long they wait, and what they raise."""

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 2}, max_pool_connections=16)
"""If a service hangs, a function must notice while there is time to give its message back."""

AWS_ERRORS = (ClientError, BotoCoreError)


def aws_code(error: Exception) -> str:
    """Return the service's error code, or the name of the client's own error."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
