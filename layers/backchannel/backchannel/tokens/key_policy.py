"""The policy of a signing key. Each statement names the account, which by itself allows nothing.

A role needs an IAM policy, too, and has to meet the condition. So no policy names a role that may not exist any more, or was made
anew. Whoever may put a key policy may make himself a signer; `key_rotation` compares the policies of all keys with this one.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Who may do what with a signing key. ``administrator_arn`` is empty for whoever IAM allows."""

    delivery_role_arn: str
    rotation_role_arn: str
    administrator_arn: str

    def document(self) -> dict[str, Any]:
        """Return the policy."""
        return {
            "Version": "2012-10-17",
            "Statement": [
                self._statement(
                    "AccountReads",
                    "DescribeKey GetKeyPolicy GetKeyRotationStatus GetPublicKey ListKeyPolicies ListResourceTags Verify",
                ),
                self._statement(
                    "KeyAdministratorAdministers",
                    "CancelKeyDeletion DisableKey EnableKey PutKeyPolicy ScheduleKeyDeletion TagResource UntagResource"
                    " UpdateKeyDescription",
                    *([self.administrator_arn] if self.administrator_arn else []),
                ),
                self._statement("KeyRotationDeletes", "ScheduleKeyDeletion", *_forms(self.rotation_role_arn)),
                self._statement("OnlyDeliverySigns", "Sign", *_forms(self.delivery_role_arn)),
            ],
        }

    def _statement(self, sid: str, actions: str, *principals: str) -> dict[str, Any]:
        _, partition, _, _, account, _ = self.delivery_role_arn.split(":", 5)
        statement = {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
            "Action": [f"kms:{action}" for action in actions.split()],
            "Resource": "*",  # in a key policy: this key
        }
        return {**statement, "Condition": {"ArnLike": {"aws:PrincipalArn": list(principals)}}} if principals else statement


def _forms(role_arn: str) -> tuple[str, str]:
    """Return a role's ARN, and how the local AWS says it: as a session of the role."""
    _, partition, _, _, account, name = role_arn.split(":", 5)
    return role_arn, f"arn:{partition}:sts::{account}:assumed-role/{name.rpartition('/')[2]}/*"
