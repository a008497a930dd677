"""Secrets Manager: what proves a source's webhooks. The secrets are written by the operator's interface and read by webhook."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import StorageUnavailable
from backchannel.providers.cache import CACHE_SECONDS

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def secret_name(prefix: str, provider: str, source: str) -> str:
    """Return the name under which a source's secrets are kept; the functions' roles are bound to the prefix."""
    return f"{prefix}/{provider}/{source}"


class SourceSecrets:
    """The secrets of all sources; each source has a list of them, any of which is valid."""

    def __init__(self, secretsmanager: SecretsManagerClient) -> None:
        self._client = secretsmanager
        self._cached = SecretsProvider(boto3_client=secretsmanager)

    def get(self, name: str) -> list[str]:
        """Return the secrets, as they were at most a minute ago.

        Raises:
            StorageUnavailable: they could not be read.

        """
        try:
            value = self._cached.get(name, max_age=int(CACHE_SECONDS), transform="json")
        except GetParameterError as error:
            raise StorageUnavailable(aws_code(error)) from error
        secrets: list[str] = value["secrets"]  # type: ignore[index,assignment,call-overload]
        return secrets

    def put(self, name: str, secrets: list[str]) -> None:
        """Store the secrets.

        Raises:
            StorageUnavailable: they could not be stored.

        """
        value = json.dumps({"secrets": secrets})
        try:
            try:
                self._client.create_secret(Name=name, SecretString=value)
            except self._client.exceptions.ResourceExistsException:
                self._client.put_secret_value(SecretId=name, SecretString=value)
        except AWS_ERRORS as error:
            raise StorageUnavailable(aws_code(error)) from error

    def delete(self, name: str) -> None:
        """Remove the secrets at once, so that the name can be used again.

        Raises:
            StorageUnavailable: they could not be removed.

        """
        try:
            self._client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        except self._client.exceptions.ResourceNotFoundException:
            return
        except AWS_ERRORS as error:
            raise StorageUnavailable(aws_code(error)) from error
