"""Secrets Manager: lists of secrets, any of which is valid while one replaces the other.

A secret is ours if it has our tag. The tag is set on creation, and the functions' roles are bound to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError, TransformParameterError

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import ConflictError, StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

TAG = "backchannel:stack"

RECOVERY_DAYS = 7
"""How long a deleted secret can be restored; Secrets Manager allows no less."""


class Secrets:
    """Named lists of secrets to read; ``max_age`` is how many seconds one that was read is kept."""

    def __init__(self, secretsmanager: SecretsManagerClient, max_age: float) -> None:
        self._max_age = int(max_age)
        self._cached = SecretsProvider(boto3_client=secretsmanager)

    def get(self, name: str) -> list[str]:
        """Return the secrets, as they were at most ``max_age`` ago, without what is no text.

        Raises:
            StorageUnavailable: they could not be read.

        """
        try:
            value: Any = self._cached.get(name, max_age=self._max_age, transform="json")
        except GetParameterError as error:
            raise StorageUnavailable(aws_code(error)) from error
        except TransformParameterError as error:
            raise StorageUnavailable("the secret is not JSON") from error
        match value:
            case {"secrets": [*secrets]}:
                return [secret for secret in secrets if _is_text(secret)]
        raise StorageUnavailable("the secret is not a list of secrets")


class OwnSecrets:
    """Named lists of secrets to write; ``stack`` is the value of their tag. A secret of somebody else stays as it is."""

    def __init__(self, secretsmanager: SecretsManagerClient, stack: str) -> None:
        self._client = secretsmanager
        self._stack = stack

    def put(self, name: str, secrets: list[str]) -> None:
        """Store the secrets; a list that was deleted lately is restored first.

        Raises:
            ConflictError: somebody else has a secret of this name.
            StorageUnavailable: they could not be stored.

        """
        value = json.dumps({"secrets": secrets})
        exceptions = self._client.exceptions
        with _storage():
            try:
                self._client.create_secret(Name=name, SecretString=value, Tags=[{"Key": TAG, "Value": self._stack}])
            except (exceptions.ResourceExistsException, exceptions.InvalidRequestException):  # the latter: it is deleted
                found = self._client.describe_secret(SecretId=name)
                if not self._is_own(found):
                    raise ConflictError("Secrets Manager has a secret of this name that does not belong here") from None
                if "DeletedDate" in found:
                    self._client.restore_secret(SecretId=name)
                self._client.put_secret_value(SecretId=name, SecretString=value)

    def delete(self, name: str) -> None:
        """Delete the secrets, which can be restored for some days; do nothing if there are none, or somebody else's.

        Raises:
            StorageUnavailable: they could not be deleted.

        """
        with _storage():
            try:
                found = self._client.describe_secret(SecretId=name)
            except self._client.exceptions.ResourceNotFoundException:
                return
            if self._is_own(found) and "DeletedDate" not in found:
                self._client.delete_secret(SecretId=name, RecoveryWindowInDays=RECOVERY_DAYS)

    def _is_own(self, found: DescribeSecretResponseTypeDef) -> bool:
        return {"Key": TAG, "Value": self._stack} in found.get("Tags", [])


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except AWS_ERRORS as error:
        raise StorageUnavailable(aws_code(error)) from error


def _is_text(secret: object) -> bool:
    """Whether this is a text that has octets: a lone surrogate has none."""
    return isinstance(secret, str) and not any("\ud800" <= character <= "\udfff" for character in secret)
