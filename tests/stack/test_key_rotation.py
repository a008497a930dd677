"""Rotations that are cut off at any call to AWS, or run twice at once: on the local AWS, with the permissions of the function."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from backchannel.providers.key_rotation import KeyRotation
from backchannel.providers.table import Providers
from backchannel.tokens.jwks import jwk_set
from backchannel.tokens.key_policy import KeyPolicy
from backchannel.tokens.kms_keys import ORPHANED_AFTER, PROVIDER_TAG, KmsKeys
from backchannel.tokens.rotation import DAY, MARGIN, PENDING_DAYS, Periods
from local.stack import STACK_NAME
from tests.support.alone import takes_away
from tests.support.aws import Aws
from tests.support.dying import Died, Mortal
from tests.support.provider import Provider

HOUR = 3_600_000
PERIODS = Periods(wait=HOUR, grace=HOUR)
STEPS = (0, HOUR + MARGIN, 2 * HOUR + MARGIN, 2 * HOUR + MARGIN + PENDING_DAYS * DAY)
"""When there is something to do in a rotation, in milliseconds since it began."""


@dataclass
class Rotation:
    """The rotation of one provider's ES256 key by a process that may die; ``began`` in milliseconds since the epoch."""

    aws: Aws
    providers: Providers
    keys: KmsKeys
    mortal: Mortal
    provider: Provider
    began: int
    passed: int = 0

    def at(self, passed: int) -> "Rotation":
        self.passed = passed
        return self

    @property
    def now(self) -> int:
        return self.began + self.passed

    def step(self) -> None:
        """Do what a pass does for this provider."""
        rotation = KeyRotation(self.providers, self.keys, PERIODS, now=lambda: self.now)
        if self.passed == 0:
            rotation.begin(self.provider.name, ["ES256"])
        rotation.advance(self.provider.name)

    def ring(self) -> list[tuple[str, str]]:
        return [(key.kid, key.state) for key in self.providers.get(self.provider.name).keys]

    def published(self) -> set[str]:
        return {key["kid"] for key in jwk_set(self.providers.get(self.provider.name).keys)["keys"]}

    def enabled_in_kms(self) -> list[str]:
        """Return the ARNs of this provider's keys that can sign."""
        found = self.aws.client("resourcegroupstaggingapi").get_resources(
            TagFilters=[{"Key": PROVIDER_TAG, "Values": [self.provider.name]}], ResourceTypeFilters=["kms:key"]
        )
        arns = [each["ResourceARN"] for each in found["ResourceTagMappingList"]]
        kms = self.aws.client("kms")
        return [arn for arn in arns if kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled"]

    def sweep(self) -> None:
        """Delete what is left over, once it is old enough; that takes a key just made, which no ring names yet, for left over."""
        takes_away("keys that no ring names yet")
        named = {key.kms_key_arn for name in self.providers.names() for key in self.providers.get(name).keys}
        for arn in self.keys.left_over(named, self.providers.names_ever(), round(time.time() * 1000) + ORPHANED_AFTER + HOUR):
            self.keys.schedule_deletion(arn)


@pytest.fixture
def rotation(provider: Provider, aws: Aws) -> Rotation:
    """Give a provider one key, and return the rotation that follows."""
    provider.register_client("https://rp.example/logout", id_token_signed_response_alg="ES256")
    as_function = aws.assume("KeyRotationRole")
    clients = [as_function.client(each) for each in ("dynamodb", "kms", "resourcegroupstaggingapi")]
    roles = {
        name: aws.client("iam").get_role(RoleName=aws.physical_id(name))["Role"]["Arn"]
        for name in ("DeliveryRole", "KeyRotationRole")
    }
    dynamodb, kms, tagging = clients
    return Rotation(
        aws,
        Providers(dynamodb, aws.physical_id("ProvidersTable")),
        KmsKeys(kms, tagging, STACK_NAME, KeyPolicy(roles["DeliveryRole"], roles["KeyRotationRole"], "")),
        Mortal(*clients),
        provider,
        round(time.time() * 1000),
    )


def states(ring: list[tuple[str, str]]) -> list[str]:
    return [state for _, state in ring]


def test_a_rotation_takes_its_four_steps(rotation: Rotation) -> None:
    seen = []
    for passed in STEPS:
        rotation.at(passed).step()
        seen.append(states(rotation.ring()))
        rotation.step()  # nothing more to do

    assert seen == [["signing", "published"], ["retired", "signing"], ["deleted", "signing"], ["signing"]]
    assert len(rotation.enabled_in_kms()) == 1


def test_a_key_made_by_the_service_has_the_policy_that_it_is_given(rotation: Rotation) -> None:
    (key,) = rotation.providers.get(rotation.provider.name).keys

    assert rotation.keys.has_our_policy(key.kms_key_arn)
    with rotation.aws.without_signing(key.kms_key_arn):
        assert not rotation.keys.has_our_policy(key.kms_key_arn)


@pytest.mark.alone
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(3))
def test_a_rotation_killed_at_any_call_goes_on_where_it_was(rotation: Rotation, step: int, after: bool) -> None:  # noqa: FBT001
    for passed in STEPS[:step]:
        rotation.at(passed).step()
    before = rotation.published()
    (signer,) = [kid for kid, state in rotation.ring() if state == "signing"]
    rotation.at(STEPS[step])

    for at in range(1, 20):
        rotation.mortal.dies(at, after=after)
        try:
            rotation.step()
        except Died:
            rotation.mortal.lives()
            now_signing = [kid for kid, state in rotation.ring() if state == "signing"]
            assert now_signing == [signer] or set(now_signing) <= before, "a key that nobody could have read"
            assert states(rotation.ring()).count("signing") == 1
        else:
            break
    else:
        pytest.fail("a step takes fewer calls")
    rotation.mortal.lives()
    assert at > 1, "there was nothing to die at"

    for passed in STEPS[step:]:
        rotation.at(passed).step()
    assert states(rotation.ring()) == ["signing"]
    rotation.sweep()
    assert rotation.enabled_in_kms() == [key.kms_key_arn for key in rotation.providers.get(rotation.provider.name).keys]


def test_rotations_that_run_at_once_make_one_next_key_and_leave_no_other(rotation: Rotation) -> None:
    barrier = threading.Barrier(4)

    def run(_: int) -> None:
        barrier.wait()
        rotation.step()

    seen = []
    with ThreadPoolExecutor(4) as pool:
        for passed in STEPS:
            rotation.at(passed)
            list(pool.map(run, range(4)))
            seen.append(states(rotation.ring()))

    assert seen == [["signing", "published"], ["retired", "signing"], ["deleted", "signing"], ["signing"]]
    assert rotation.enabled_in_kms() == [key.kms_key_arn for key in rotation.providers.get(rotation.provider.name).keys]


@pytest.mark.alone
def test_the_keys_of_a_provider_that_was_removed_are_deleted(rotation: Rotation) -> None:
    (client,) = rotation.provider.ring()[0]["clients"]
    for path in (f"/clients/{client}", "/sources/app", ""):
        rotation.provider.stack.admin("DELETE", rotation.provider.path + path)
    assert len(rotation.enabled_in_kms()) == 1

    rotation.sweep()

    assert rotation.enabled_in_kms() == []
