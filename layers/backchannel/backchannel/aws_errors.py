"""What botocore raises, in one word for logs."""

from botocore.exceptions import BotoCoreError, ClientError

AWS_ERRORS = (ClientError, BotoCoreError)


def aws_code(error: Exception) -> str:
    """Return the service's error code, or what kept us from getting one."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
