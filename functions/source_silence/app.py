"""source_silence: looks, on a schedule, for sources that have sent nothing for longer than their operators expect."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from backchannel.aws.clients import CONFIG
from backchannel.providers.silent_sources import SilenceCheck
from backchannel.providers.source_activity import SourceActivities
from backchannel.providers.table import Providers
from backchannel.runtime.observability import logger, metrics
from backchannel.runtime.settings import from_environment


@dataclass(frozen=True, slots=True)
class Settings:
    """What the template gives this function."""

    providers_table: str
    source_activity_table: str


settings = from_environment(Settings)
dynamodb = boto3.client("dynamodb", config=CONFIG)
check = SilenceCheck(Providers(dynamodb, settings.providers_table), SourceActivities(dynamodb, settings.source_activity_table))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(_: dict[str, Any], __: LambdaContext) -> None:
    """Make one check."""
    silent = check.run(round(time.time() * 1000))
    for source in silent:
        logger.warning("source.silent", extra=asdict(source))
    metrics.add_metric("SourcesSilent", MetricUnit.Count, len(silent))
