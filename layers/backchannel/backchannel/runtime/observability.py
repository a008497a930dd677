"""The one logger and the one set of metrics; subjects and sessions are logged as short hashes."""

import hashlib
import json
import logging
import os
import warnings

from aws_lambda_powertools import Logger, Metrics

warnings.filterwarnings("ignore", message="No application metrics to publish")  # an invocation may have nothing to count

# Skip the look-up of caller, thread and process: our log lines omit them. See "Optimization" in Python's logging HOWTO.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
logging.logAsyncioTasks = False  # type: ignore[attr-defined] # it is there
logging._srcfile = None  # noqa: SLF001

logger = Logger(
    location=None,  # every line has a name of its own
    use_rfc3339=True,  # the only form of a time that Lambda reads; without it, it judges a line's level by guessing
    utc=True,  # Lambda's own zone; said, it need not be looked up for each line
    json_deserializer=str,  # messages are names: there is no JSON in them to look for
    json_serializer=json.JSONEncoder(default=str, separators=(",", ":"), ensure_ascii=False).encode,
)
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "backchannel"))


def short_hash(value: str | None) -> str | None:
    """Return what a log shows instead of a subject or a session: the same for the same value, and not reversible."""
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()[:12]
