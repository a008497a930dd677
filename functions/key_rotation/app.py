"""key_rotation: makes, rotates and deletes the signing keys of providers; on a schedule, and when `admin` asks for it."""

import time
from dataclasses import dataclass
from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.aws.clients import CONFIG
from backchannel.aws.sqs import Queue
from backchannel.errors import InternalFailure, KeyServiceUnavailable
from backchannel.providers.key_rotation import KeyRotation
from backchannel.providers.new_signers import NewSigners
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment
from backchannel.tokens.key_policy import KeyPolicy
from backchannel.tokens.kms_keys import KmsKeys
from backchannel.tokens.rotation import Periods


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function; periods in seconds."""

    providers_table: str
    stack_name: str
    key_wait: int
    key_grace: int
    delivery_role_arn: str
    key_rotation_role_arn: str
    key_administrator_arn: str
    events_out_queue_url: str


settings = from_environment(Settings)
providers = Providers(boto3.client("dynamodb", config=CONFIG), settings.providers_table)
rotation = KeyRotation(
    providers,
    KmsKeys(
        boto3.client("kms", config=CONFIG),
        boto3.client("resourcegroupstaggingapi", config=CONFIG),
        settings.stack_name,
        KeyPolicy(settings.delivery_role_arn, settings.key_rotation_role_arn, settings.key_administrator_arn),
    ),
    Periods(wait=settings.key_wait * 1000, grace=settings.key_grace * 1000),
    now=lambda: round(time.time() * 1000),
)


def new_signers_if_on() -> NewSigners | None:
    """Return what announces keys, None without an event bus."""
    url = settings.events_out_queue_url
    return NewSigners(providers, Queue(boto3.client("sqs", config=CONFIG), url), rotation.now) if url else None


new_signers = new_signers_if_on()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _: LambdaContext) -> None:
    """Do what `admin` asks for, or make a pass over all providers."""
    match event:
        case {"do": "ensure", "provider": provider, "alg": alg}:
            rotation.ensure(provider, alg)
        case {"do": "begin", "provider": provider, "algs": algs}:
            rotation.begin(provider, algs)
        case {"do": "withdraw", "provider": provider, "kid": kid}:
            rotation.withdraw(provider, kid)
        case _:
            make_a_pass()
            return
    if new_signers is not None:
        try:
            new_signers.announce([event["provider"]])
        except InternalFailure as failure:  # what was asked for is done; the next pass announces it
            logger.error("keys.not_announced", provider=event["provider"], code=failure.code, detail=str(failure))


def make_a_pass() -> None:
    """Advance all rings; a provider whose ring could not be advanced is an error, after all others were."""
    done = rotation.run()
    metrics.add_metric("KeyPoliciesChanged", MetricUnit.Count, len(done.foreign_policies))
    for arn in done.foreign_policies:
        logger.error("key.policy_changed", kms_key_arn=arn)
    for arn in done.left_over:
        logger.warning("key.left_over", kms_key_arn=arn)
    for provider, error in done.failed:
        logger.error("keys.not_rotated", provider=provider, code=error.code, detail=str(error))
    logger.info("keys.rotated", providers=done.providers, failed=len(done.failed))
    if new_signers is not None:
        new_signers.announce(providers.names())
    if done.failed:
        raise KeyServiceUnavailable(f"{len(done.failed)} providers")
