"""Secrets Manager: lists of secrets, any of which is valid while one replaces the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class Secrets:
    """Named lists of secrets; ``max_age`` is how many seconds one that was read is kept."""

    def __init__(self, secretsmanager: SecretsManagerClient, max_age: float) -> None:
        self._client = secretsmanager
        self._max_age = int(max_age)
        self._cached = SecretsProvider(boto3_client=secretsmanager)

    def get(self, name: str) -> list[str]:
        """Return the secrets, as they were at most ``max_age`` ago.

        Raises:
            StorageUnavailable: they could not be read.

        """
        try:
            value = self._cached.get(name, max_age=self._max_age, transform="json")
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
