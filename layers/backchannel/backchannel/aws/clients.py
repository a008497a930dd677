"""What all boto3 clients have in common: how long they wait, and what they raise."""

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 2}, max_pool_connections=16)
"""A function must notice a service that hangs while there is time to give its message back."""

AWS_ERRORS = (ClientError, BotoCoreError)


def aws_code(error: Exception) -> str:
    """Return the service's error code, or what kept us from getting one."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
