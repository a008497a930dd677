"""The one logger and the one set of metrics; subjects and sessions are logged as short hashes."""

import hashlib
import os
import warnings

from aws_lambda_powertools import Logger, Metrics

warnings.filterwarnings("ignore", message="No application metrics to publish")  # an invocation may have nothing to count

logger = Logger(json_deserializer=str)  # messages are names: there is no JSON in them to look for
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "backchannel"))


def short_hash(value: str | None) -> str | None:
    """Return what stands for a subject or a session in a log: enough to correlate, nothing to recover."""
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()[:12]
