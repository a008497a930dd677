"""The life of KMS keys: made for a provider, tagged with the stack, deleted in the end. Nothing else has a key with this tag."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backchannel.aws.clients import AWS_ERRORS, aws_code
from backchannel.errors import KeyServiceUnavailable
from backchannel.tokens.jws import ALGORITHMS
from backchannel.tokens.key_policy import KeyPolicy
from backchannel.tokens.key_ring import SigningKey
from backchannel.tokens.public_keys import public_jwk, thumbprint
from backchannel.tokens.rotation import PENDING_DAYS

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_resourcegroupstaggingapi import ResourceGroupsTaggingAPIClient
    from mypy_boto3_resourcegroupstaggingapi.type_defs import TagTypeDef

STACK_TAG = "backchannel:stack"
PROVIDER_TAG = "backchannel:provider"

ORPHANED_AFTER = 3_600_000
"""Milliseconds after which a key that no ring names is taken for left over; a run that makes one names it within seconds."""


class KmsKeys:
    """The signing keys of a stack. Every method raises KeyServiceUnavailable if AWS does not do it."""

    def __init__(self, kms: KMSClient, tagging: ResourceGroupsTaggingAPIClient, stack: str, policy: KeyPolicy) -> None:
        self._kms = kms
        self._tagging = tagging
        self._stack = stack
        self._policy = policy.document()

    def create(self, provider: str, alg: str) -> SigningKey:
        """Make a key. Until a ring names it, it is left over if this process dies."""
        with _kms():
            made = self._kms.create_key(
                KeySpec=ALGORITHMS[alg].key_spec,  # type: ignore[arg-type]
                KeyUsage="SIGN_VERIFY",
                Description=f"Backchannel logout tokens of {provider}, {alg}",
                Policy=json.dumps(self._policy),
                BypassPolicyLockoutSafetyCheck=True,  # the account's root may put another policy; this role may not
                Tags=[{"TagKey": STACK_TAG, "TagValue": self._stack}, {"TagKey": PROVIDER_TAG, "TagValue": provider}],
            )
            arn = made["KeyMetadata"]["Arn"]
            public_key = self._kms.get_public_key(KeyId=arn)["PublicKey"]
        return SigningKey(thumbprint(public_key), alg, arn, jwk=public_jwk(public_key))

    def schedule_deletion(self, kms_key_arn: str) -> None:
        """Let KMS delete a key after PENDING_DAYS; it signs nothing from now on. Nothing happens to one that waits for that."""
        with _kms():
            try:
                self._kms.schedule_key_deletion(KeyId=kms_key_arn, PendingWindowInDays=PENDING_DAYS)
            except (self._kms.exceptions.KMSInvalidStateException, self._kms.exceptions.NotFoundException):
                return

    def has_our_policy(self, kms_key_arn: str) -> bool:
        """Whether a key's policy is the one that it was made with."""
        with _kms():
            policy = self._kms.get_key_policy(KeyId=kms_key_arn, PolicyName="default")["Policy"]
        return bool(json.loads(policy) == self._policy)

    def left_over(self, named: Collection[str], providers: Collection[str], now: int) -> list[str]:
        """Return the ARNs of these providers' keys that no ring names, and that are older than ORPHANED_AFTER."""
        with _kms():
            pages = self._tagging.get_paginator("get_resources").paginate(
                TagFilters=[{"Key": STACK_TAG, "Values": [self._stack]}, {"Key": PROVIDER_TAG}], ResourceTypeFilters=["kms:key"]
            )
            tagged = [each for page in pages for each in page["ResourceTagMappingList"]]
            found = [each["ResourceARN"] for each in tagged if _provider(each["Tags"]) in providers]
            return [arn for arn in found if arn not in named and self._is_old(arn, now)]

    def _is_old(self, arn: str, now: int) -> bool:
        metadata = self._kms.describe_key(KeyId=arn)["KeyMetadata"]
        return metadata["KeyState"] == "Enabled" and now - metadata["CreationDate"].timestamp() * 1000 > ORPHANED_AFTER


@contextmanager
def _kms() -> Iterator[None]:
    try:
        yield
    except AWS_ERRORS as error:
        raise KeyServiceUnavailable(aws_code(error)) from error


def _provider(tags: Sequence[TagTypeDef]) -> str:
    return next(tag["Value"] for tag in tags if tag["Key"] == PROVIDER_TAG)
