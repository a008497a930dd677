"""With IAM enforced: each permission is needed, what is missing loses nothing, and only delivery can sign."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError

from local.client import Response, Stack, event
from local.stack import STACK_NAME
from tests.stack.tokens import verified
from tests.support.aws import Aws, actions
from tests.support.polling import until
from tests.support.provider import SOURCE, Json, Provider, new_secret
from tests.support.relying_party import RelyingParty
from tests.support.unspeakable import new_id

pytestmark = pytest.mark.alone

ROLES = (
    *("WebhookRole", "SessionEndedRole", "DeliveryRole", "MassLogoutRole", "KeyRotationRole", "SessionExpiryRole"),
    *("SourceSilenceRole", "AdminRole", "DiscoveryRole", "SourceEventsRole", "CognitoSignInRole", "EventsOutRole"),
)

# --- What a caller waits for: without the permission it is told 503, with it the same request succeeds ----------------


def start(provider: Provider) -> Response:
    return provider.webhook("rp_session.started", sub=new_id("sub"), sid=new_id("sid"), client_id="wiki")


def end(provider: Provider) -> Response:
    return provider.webhook("session.ended", sid=new_id("sid"))


def first_webhook_of_a_source(provider: Provider) -> Response:
    """Send what needs the configuration read, which webhook has kept of the other source."""
    payload = event("session.ended", sid=new_id("sid"))
    return provider.stack.webhook(provider.name, "fresh", provider.secret, secrets.token_hex(8), payload)


def read_jwks(provider: Provider) -> Response:
    return provider.stack.request("GET", f"{provider.path}/jwks.json")


def signed(method: str, path: str, document: object = None) -> Callable[[Provider], Response]:
    return lambda provider: provider.stack.request(method, provider.path + path, document, signed=True)


def list_providers(provider: Provider) -> Response:
    return provider.stack.request("GET", "/providers", signed=True)


def replace_source(provider: Provider) -> Response:
    return provider.stack.request("PUT", f"{provider.path}/sources/{SOURCE}", SOURCE_METADATA, signed=True)


def recreate_source(provider: Provider) -> Response:
    """Create a source whose secret is deleted, but can be restored."""
    name = f"backchannel/{STACK_NAME}/{provider.name}/{SOURCE}"
    manager = Aws(provider.stack).client("secretsmanager")
    if "DeletedDate" not in manager.describe_secret(SecretId=name):
        manager.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    return replace_source(provider)


def new_algorithm(provider: Provider) -> Response:
    """Register a client for which a key has to be made."""
    client = {"backchannel_logout_uri": "https://rp.example/logout", "id_token_signed_response_alg": "ES512"}
    return provider.stack.request("PUT", f"{provider.path}/clients/es512", client, signed=True)


def count_deliveries(provider: Provider) -> Response:
    client_id = provider.register_client("https://rp.example/logout", "counted")
    return provider.stack.request("GET", f"{provider.path}/clients/{client_id}/counts", signed=True)


def start_mass_logout(provider: Provider) -> Response:
    request = {"scope": {"provider": provider.name}, "reason": "compromised"}
    return provider.stack.request("POST", "/mass-logouts", request, signed=True)


def dry_run(provider: Provider) -> Response:
    request = {"scope": {"provider": provider.name}, "reason": "compromised", "dry_run": True}
    return provider.stack.request("POST", "/mass-logouts", request, signed=True)


SOURCE_METADATA = {"format": "standard-webhooks", "secret": new_secret()}


WAITED_FOR = {
    ("WebhookRole", "dynamodb:GetItem", "Providers"): (first_webhook_of_a_source, "storage_unavailable"),
    ("WebhookRole", "secretsmanager:GetSecretValue", ""): (first_webhook_of_a_source, "storage_unavailable"),
    ("WebhookRole", "dynamodb:UpdateItem", "Sessions"): (start, "storage_unavailable"),
    ("WebhookRole", "dynamodb:BatchGetItem", ""): (start, "storage_unavailable"),
    ("WebhookRole", "sqs:SendMessage*", ""): (end, "queue_unavailable"),
    ("DiscoveryRole", "dynamodb:GetItem", ""): (read_jwks, "storage_unavailable"),
    ("AdminRole", "dynamodb:GetItem", "Providers"): (signed("GET", ""), "storage_unavailable"),
    ("AdminRole", "dynamodb:PutItem", "Providers"): (signed("PUT", "/clients/wiki", {}), "storage_unavailable"),
    ("AdminRole", "dynamodb:Query", "Providers"): (signed("GET", "/clients"), "storage_unavailable"),
    ("AdminRole", "dynamodb:Query", "Sessions"): (signed("GET", "/sessions?sub=ada"), "storage_unavailable"),
    ("AdminRole", "dynamodb:Query", "by_client"): (signed("GET", "/deliveries?client_id=a"), "storage_unavailable"),
    ("AdminRole", "dynamodb:Query", "/index/by_client"): (signed("GET", "/sessions?client_id=a"), "storage_unavailable"),
    ("AdminRole", "dynamodb:BatchGetItem", "Providers"): (list_providers, "storage_unavailable"),
    ("AdminRole", "dynamodb:Query", "logouts_by_time"): (signed("GET", "/logouts"), "storage_unavailable"),
    ("AdminRole", "dynamodb:BatchGetItem", "ClientCounts"): (count_deliveries, "storage_unavailable"),
    ("AdminRole", "dynamodb:GetItem", "Deliveries"): (signed("GET", "/logouts/id"), "storage_unavailable"),
    ("AdminRole", "dynamodb:UpdateItem", "Deliveries"): (signed("POST", "/logouts", {"sid": "s"}), "storage_unavailable"),
    ("AdminRole", "lambda:InvokeFunction", ""): (new_algorithm, "function_unavailable"),
    ("KeyRotationRole", "dynamodb:GetItem", ""): (new_algorithm, "function_unavailable"),
    ("KeyRotationRole", "dynamodb:PutItem", ""): (new_algorithm, "function_unavailable"),
    ("KeyRotationRole", "kms:CreateKey", ""): (new_algorithm, "function_unavailable"),
    ("KeyRotationRole", "kms:GetPublicKey", ""): (new_algorithm, "function_unavailable"),
    ("AdminRole", "dynamodb:UpdateItem", "SourceActivity"): (replace_source, "storage_unavailable"),
    ("AdminRole", "dynamodb:GetItem", "SourceActivity"): (signed("GET", f"/sources/{SOURCE}"), "storage_unavailable"),
    ("AdminRole", "dynamodb:DeleteItem", "SourceActivity"): (signed("DELETE", "/sources/fresh"), "storage_unavailable"),
    ("AdminRole", "sqs:SendMessage*", ""): (signed("POST", "/logouts", {"sid": "s"}), "queue_unavailable"),
    ("AdminRole", "dynamodb:PutItem", "MassLogouts"): (start_mass_logout, "storage_unavailable"),
    ("AdminRole", "dynamodb:Scan", ""): (dry_run, "storage_unavailable"),
    ("AdminRole", "sqs:SendMessage*", "MassLogoutQueue"): (start_mass_logout, "queue_unavailable"),
    ("AdminRole", "secretsmanager:CreateSecret", ""): (signed("PUT", "/sources/new", SOURCE_METADATA), "storage_unavailable"),
    ("AdminRole", "secretsmanager:DescribeSecret", ""): (replace_source, "storage_unavailable"),
    ("AdminRole", "secretsmanager:PutSecretValue", ""): (replace_source, "storage_unavailable"),
    ("AdminRole", "secretsmanager:RestoreSecret", ""): (recreate_source, "storage_unavailable"),
    ("AdminRole", "secretsmanager:DeleteSecret", ""): (signed("DELETE", "/sources/fresh"), "storage_unavailable"),
}


@pytest.mark.parametrize("permission", WAITED_FOR, ids="-".join)
def test_without_the_permission_a_caller_is_told_to_come_again(
    provider: Provider, aws: Aws, permission: tuple[str, str, str]
) -> None:
    request, code = WAITED_FOR[permission]
    provider.put_source("fresh", format="standard-webhooks", secret=provider.secret)
    if request in {start, end}:
        end(provider)  # from now on the configuration is known

    with aws.without(*permission):
        refused = request(provider)

    assert (refused.status, refused.body["code"]) == (503, code)
    assert refused.headers["retry-after"] == "5"
    assert request(provider).status in {200, 202, 204, 404}


@pytest.mark.parametrize("tags", [[], [{"Key": "backchannel:stack", "Value": "another"}]])
def test_a_secret_is_created_with_the_tag_of_the_stack_alone(aws: Aws, tags: list[dict[str, str]]) -> None:
    manager = aws.assume("AdminRole").client("secretsmanager")

    with pytest.raises(ClientError) as refusal:
        manager.create_secret(Name=f"backchannel/{STACK_NAME}/payments/db", SecretString="s", Tags=tags)

    assert refusal.value.response["Error"]["Code"] == "AccessDeniedException"


ON_SECRETS: Mapping[str, Json] = {
    "get_secret_value": {},
    "put_secret_value": {"SecretString": "ours"},
    "delete_secret": {},
    "describe_secret": {},
}


@pytest.mark.parametrize("operation", ON_SECRETS)
@pytest.mark.parametrize("role", ["AdminRole", "WebhookRole"])
def test_a_role_reaches_no_secret_outside_of_the_folder_of_the_stack(aws: Aws, role: str, operation: str) -> None:
    name = f"{STACK_NAME}/{new_id('payments')}/db"
    aws.client("secretsmanager").create_secret(Name=name, SecretString="foreign")

    with pytest.raises(ClientError) as refusal:
        getattr(aws.assume(role).client("secretsmanager"), operation)(SecretId=name, **ON_SECRETS[operation])

    assert refusal.value.response["Error"]["Code"] == "AccessDeniedException"


# --- What works in the background: it waits, spends no attempt, and goes on once the permission is there --------------


type Without = Callable[[Aws, Provider], AbstractContextManager[None]]


def permission(role: str, action: str, resource: str = "") -> Without:
    return lambda aws, _: aws.without(role, action, resource)


def signing(aws: Aws, provider: Provider) -> AbstractContextManager[None]:
    (key,) = provider.ring(alg="RS256")
    return aws.without_signing(key["kms_key_arn"])


@dataclass(frozen=True, slots=True)
class Hampered:
    """A logout that began without a permission."""

    provider: Provider
    rp: RelyingParty
    sid: str
    logout_id: str
    waited: bool


def waits_for_its_fan_out(provider: Provider, logout: str, aws: Aws) -> bool:
    """The end is in its queue and was given back; no delivery is recorded."""
    return _received(aws.messages("SessionEndedQueue", provider.name)) and provider.deliveries(logout) == []


def waits_to_be_queued(provider: Provider, logout: str, aws: Aws) -> bool:
    """The end is in its queue and was given back; the delivery is recorded."""
    return _received(aws.messages("SessionEndedQueue", provider.name)) and _untouched(provider.deliveries(logout))


def waits_for_its_attempt(provider: Provider, logout: str, aws: Aws) -> bool:
    """The delivery moved to RetryQueue, and no attempt was spent."""
    return bool(aws.messages("RetryQueue", provider.name)) and _untouched(provider.deliveries(logout))


def _received(messages: list[Json]) -> bool:
    return any(each["ReceiveCount"] > 0 for each in messages)


def _untouched(deliveries: list[Json]) -> bool:
    return [(each["status"], each["attempts"]) for each in deliveries] == [("queued", 0)]


HAMPERED: Mapping[str, tuple[Without, Callable[[Provider, str, Aws], bool]]] = {
    "session_ended looks": (permission("SessionEndedRole", "dynamodb:Query"), waits_for_its_fan_out),
    "session_ended claims": (permission("SessionEndedRole", "dynamodb:UpdateItem", "Sessions"), waits_for_its_fan_out),
    "session_ended records": (permission("SessionEndedRole", "dynamodb:UpdateItem", "Deliveries"), waits_for_its_fan_out),
    "session_ended queues": (permission("SessionEndedRole", "sqs:SendMessage*", "DeliveryQueue"), waits_to_be_queued),
    "delivery takes the lease": (permission("DeliveryRole", "dynamodb:UpdateItem", "Deliveries"), waits_for_its_attempt),
    "delivery reads the configuration": (permission("DeliveryRole", "dynamodb:GetItem", "Providers"), waits_for_its_attempt),
    "delivery signs": (signing, waits_for_its_attempt),
}


@pytest.fixture(scope="module")
def hampered(stack: Stack, aws: Aws) -> Iterator[Mapping[str, Hampered]]:
    """Begin a logout without each of the permissions in turn; what is postponed comes back at about the same time."""
    with contextlib.ExitStack() as running:
        yield {name: _hamper(stack, aws, running.enter_context(RelyingParty()), *how) for name, how in HAMPERED.items()}


def _hamper(
    stack: Stack,
    aws: Aws,
    rp: RelyingParty,
    without: Without,
    waits: Callable[[Provider, str, Aws], bool],
) -> Hampered:
    provider, sid = Provider(stack), new_id("sid")
    provider.create()
    provider.start(provider.register_client(rp), sub=new_id("sub"), sid=sid)
    with without(aws, provider):
        logout = provider.end_session(sid)
        try:
            waited = until(lambda: waits(provider, logout, aws), seconds=8) and rp.requests == []
        except AssertionError:
            waited = False
    return Hampered(provider, rp, sid, logout, waited)


@pytest.mark.quiet
@pytest.mark.parametrize("name", HAMPERED)
def test_without_the_permission_a_logout_waits_and_then_goes_on(hampered: Mapping[str, Hampered], name: str) -> None:
    found = hampered[name]

    assert found.waited
    (delivery,) = found.provider.wait_until(found.logout_id, "accepted")
    assert delivery["attempts"] == 1
    assert [verified(found.provider, token).claims["sid"] for token in found.rp.tokens] == [found.sid]


def test_without_the_permission_a_client_that_was_resumed_is_woken_later(provider: Provider, aws: Aws) -> None:
    with RelyingParty() as rp:
        client_id, sid = provider.register_client(rp, paused=True), new_id("sid")
        provider.start(client_id, sub=new_id("sub"), sid=sid)
        logout = provider.end_session(sid)
        provider.wait_for(logout, lambda found: [each["last_code"] for each in found] == ["client_paused"])

        with aws.without("DeliveryRole", "dynamodb:Query", "by_client"):
            provider.post(f"/clients/{client_id}/resume", {})
            until(lambda: [each for each in aws.messages("RetryQueue", provider.name) if 'is_repeated":true' in each["Body"]])
            waiting = provider.deliveries(logout)

        provider.wait_until(logout, "accepted", seconds=30)
    assert _untouched(waiting)


# --- Who can do what with a key ---------------------------------------------------------------------------------------

SIGNATURE = {"Message": b"m", "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"}


@pytest.fixture(scope="module")
def key_arn(stack: Stack) -> str:
    """Return the key of a provider."""
    provider = Provider(stack)
    provider.create()
    provider.register_client("https://rp.example/logout")
    (key,) = provider.ring(alg="RS256")
    arn: str = key["kms_key_arn"]
    return arn


@pytest.fixture(scope="module")
def foreign_key_arn(aws: Aws) -> str:
    """Return a key of this account without the tag of the stack, whose policy leaves everything to IAM."""
    made = aws.client("kms").create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    arn: str = made["KeyMetadata"]["Arn"]
    return arn


def denied(call: Callable[[], object]) -> bool:
    with pytest.raises(ClientError) as refusal:
        call()
    return bool(refusal.value.response["Error"]["Code"] == "AccessDeniedException")


def test_a_key_lets_only_the_delivery_role_sign(aws: Aws, key_arn: str) -> None:
    (signing,) = [each for each in aws.key_policy(key_arn)["Statement"] if "kms:Sign" in actions(each)]
    wildcards = [each for each in aws.key_policy(key_arn)["Statement"] if any("*" in action for action in actions(each))]

    delivery = aws.client("iam").get_role(RoleName=aws.physical_id("DeliveryRole"))["Role"]["Arn"]
    assert signing["Condition"]["ArnLike"]["aws:PrincipalArn"][0] == delivery
    assert wildcards == []


@pytest.mark.parametrize("role", ROLES)
def test_no_role_but_delivery_s_is_allowed_to_sign_by_a_policy_of_its_own(aws: Aws, role: str) -> None:
    policies = aws.role_policies(role)
    granted = {action for policy in policies.values() for each in policy["Statement"] for action in actions(each)}

    assert policies
    assert ("kms:Sign" in granted) == (role == "DeliveryRole")
    assert not {"*", "kms:*", "kms:PutKeyPolicy", "kms:CreateGrant"} & granted


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"DeliveryRole"}))
def test_a_role_other_than_delivery_s_is_denied_a_signature(aws: Aws, key_arn: str, role: str) -> None:
    kms = aws.assume(role).client("kms")

    assert denied(lambda: kms.sign(KeyId=key_arn, **SIGNATURE))


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"DeliveryRole"}))
def test_a_role_that_iam_alone_lets_sign_is_denied_by_the_key(aws: Aws, key_arn: str, role: str) -> None:
    kms = aws.assume(role).client("kms")

    with aws.with_permission(role, "kms:Sign"):
        assert denied(lambda: kms.sign(KeyId=key_arn, **SIGNATURE))


def test_the_delivery_role_is_denied_a_signature_without_its_iam_policy(aws: Aws, key_arn: str) -> None:
    kms = aws.assume("DeliveryRole").client("kms")

    with aws.without("DeliveryRole", "kms:Sign"):
        assert denied(lambda: kms.sign(KeyId=key_arn, **SIGNATURE))


def test_the_delivery_role_is_granted_a_signature_with_a_key_of_the_stack_alone(
    aws: Aws, key_arn: str, foreign_key_arn: str
) -> None:
    kms = aws.assume("DeliveryRole").client("kms")

    assert kms.sign(KeyId=key_arn, **SIGNATURE)["Signature"]
    assert denied(lambda: kms.sign(KeyId=foreign_key_arn, **SIGNATURE))


ON_KEYS: Mapping[str, Json] = {
    "sign": SIGNATURE,
    "schedule_key_deletion": {},
    "get_public_key": {},
    "get_key_policy": {"PolicyName": "default"},
    "describe_key": {},
    "disable_key": {},
    "put_key_policy": {"PolicyName": "default", "Policy": "{}"},
    "untag_resource": {"TagKeys": ["any"]},
    "tag_resource": {"Tags": [{"TagKey": "backchannel:stack", "TagValue": "another"}]},
    "create_grant": {"GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Sign"]},
}


@pytest.mark.parametrize("operation", ON_KEYS)
def test_key_rotation_cannot_touch_a_key_without_the_tag_of_the_stack(aws: Aws, foreign_key_arn: str, operation: str) -> None:
    kms = aws.assume("KeyRotationRole").client("kms")

    assert denied(lambda: getattr(kms, operation)(KeyId=foreign_key_arn, **ON_KEYS[operation]))


@pytest.mark.parametrize("operation", ["sign", "disable_key", "put_key_policy", "untag_resource", "tag_resource", "create_grant"])
def test_key_rotation_cannot_use_or_give_away_a_key_of_the_stack(aws: Aws, key_arn: str, operation: str) -> None:
    kms = aws.assume("KeyRotationRole").client("kms")

    assert denied(lambda: getattr(kms, operation)(KeyId=key_arn, **ON_KEYS[operation]))


@pytest.mark.parametrize("tags", [[], [{"TagKey": "backchannel:stack", "TagValue": "another"}]])
def test_key_rotation_makes_no_key_without_the_tag_of_the_stack(aws: Aws, tags: list[dict[str, str]]) -> None:
    kms = aws.assume("KeyRotationRole").client("kms")

    assert denied(lambda: kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Tags=tags))


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"KeyRotationRole"}))
def test_no_other_role_can_make_or_delete_a_key(aws: Aws, key_arn: str, role: str) -> None:
    kms = aws.assume(role).client("kms")
    tags = [{"TagKey": "backchannel:stack", "TagValue": STACK_NAME}]

    assert denied(lambda: kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Tags=tags))
    assert denied(lambda: kms.schedule_key_deletion(KeyId=key_arn))
