"""A function of this stack that another one calls, and waits for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import FunctionUnavailable

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

CONFIG = Config(connect_timeout=1, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 1})
"""Shorter than API Gateway waits (29 s), and no second call beside one that is still running."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of this stack."""

    client: LambdaClient
    name: str

    def call(self, **event: Any) -> Any:
        """Return what the function returns.

        Raises:
            FunctionUnavailable: it failed, or did not answer in time; what it was to do may have been done.

        """
        try:
            answer = self.client.invoke(FunctionName=self.name, Payload=json.dumps(event))
            payload = answer["Payload"].read()
        except AWS_ERRORS as error:
            raise FunctionUnavailable(aws_code(error)) from error
        if "FunctionError" in answer:
            raise FunctionUnavailable(f"{self.name} failed")
        return json.loads(payload)
