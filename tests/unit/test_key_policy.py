"""Who may do what with a key that this service made."""

import re
from typing import Any

import pytest

from backchannel.tokens.key_policy import KeyPolicy

ACCOUNT = "arn:aws-cn:iam::123456789012:root"
DELIVERY = "arn:aws-cn:iam::123456789012:role/service/prod-DeliveryRole-1A2B"
ROTATION = "arn:aws-cn:iam::123456789012:role/prod-KeyRotationRole-3C4D"
ADMINISTRATOR = "arn:aws-cn:iam::123456789012:role/deployer"


def statements(administrator: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = KeyPolicy(DELIVERY, ROTATION, administrator).document()["Statement"]
    return found


def allowing(action: str, administrator: str = "") -> list[dict[str, Any]]:
    return [each for each in statements(administrator) if action in each["Action"]]


def principals(statement: dict[str, Any]) -> list[str]:
    assert set(statement["Condition"]) == {"ArnLike"}
    found: list[str] = statement["Condition"]["ArnLike"]["aws:PrincipalArn"]
    return found


def test_only_delivery_signs() -> None:
    (statement,) = allowing("kms:Sign")

    assert statement["Action"] == ["kms:Sign"]
    assert principals(statement) == [DELIVERY, "arn:aws-cn:sts::123456789012:assumed-role/prod-DeliveryRole-1A2B/*"]


def test_key_rotation_can_delete_a_key_and_change_nothing_else() -> None:
    of_rotation = [each for each in statements(ADMINISTRATOR) if "Condition" in each and ROTATION in principals(each)]

    assert [each["Action"] for each in of_rotation] == [["kms:ScheduleKeyDeletion"]]


def test_it_names_nobody_who_may_not_exist() -> None:
    assert [each["Principal"] for each in statements(ADMINISTRATOR)] == [{"AWS": ACCOUNT}] * 4


@pytest.mark.parametrize("action", ["kms:PutKeyPolicy", "kms:DisableKey", "kms:TagResource"])
def test_if_a_key_administrator_is_named_nobody_else_can_change_a_key(action: str) -> None:
    (statement,) = allowing(action, ADMINISTRATOR)

    assert principals(statement) == [ADMINISTRATOR]
    assert "Condition" not in allowing(action)[0]


def test_nobody_can_give_the_right_to_sign_to_somebody_else() -> None:
    assert [allowing(action) for action in ("kms:CreateGrant", "kms:*", "*", "kms:ReplicateKey")] == [[]] * 4


def test_whatever_has_no_condition_only_reads() -> None:
    free = [action for each in statements(ADMINISTRATOR) if "Condition" not in each for action in each["Action"]]

    assert all(re.match("kms:(Describe|Get|List|Verify)", action) for action in free)


def test_the_whole_policy_is_what_kms_takes() -> None:
    reads, administers, deletes, signs = statements()

    assert KeyPolicy(DELIVERY, ROTATION, "").document()["Version"] == "2012-10-17"
    assert signs == {
        "Sid": "OnlyDeliverySigns",
        "Effect": "Allow",
        "Principal": {"AWS": ACCOUNT},
        "Action": ["kms:Sign"],
        "Resource": "*",
        "Condition": {
            "ArnLike": {"aws:PrincipalArn": [DELIVERY, "arn:aws-cn:sts::123456789012:assumed-role/prod-DeliveryRole-1A2B/*"]}
        },
    }
    assert set(reads) == set(administers) == {"Sid", "Effect", "Principal", "Action", "Resource"}
    assert [each["Sid"] for each in (reads, administers, deletes)] == [
        "AccountReads",
        "KeyAdministratorAdministers",
        "KeyRotationDeletes",
    ]
    assert reads["Action"] == [
        f"kms:{action}"
        for action in (
            "DescribeKey",
            "GetKeyPolicy",
            "GetKeyRotationStatus",
            "GetPublicKey",
            "ListKeyPolicies",
            "ListResourceTags",
            "Verify",
        )
    ]
