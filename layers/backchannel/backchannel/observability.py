"""The one logger and the one set of metrics; subjects and sessions are logged as short hashes."""

import hashlib

from aws_lambda_powertools import Logger, Metrics

logger = Logger()
metrics = Metrics()


def short_hash(value: str | None) -> str | None:
    """Return what stands for a subject or a session in a log: enough to correlate, nothing to recover."""
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()[:12]
