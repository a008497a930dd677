"""What Lambda needs of a log line: it drops lines below its own log level, and goes by their level and time."""

import re
from datetime import UTC, datetime, timedelta

from backchannel.runtime.observability import logger
from tests.unit.conftest import Log

RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")


def test_a_log_line_has_a_level_and_a_time_of_rfc_3339(log: Log) -> None:
    logger.info("delivery.attempted")

    (line,) = log.lines
    assert line["level"] == "INFO"
    assert RFC_3339.fullmatch(line["timestamp"])
    assert abs(datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=1)
