"""When a source is silent, and what is added up before it is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest

from backchannel.providers.silent_sources import SilenceCheck, SilentSource
from backchannel.providers.source_activity import Last, SourceActivities, SourceActivity, Tally
from backchannel.providers.sources import Source
from backchannel.providers.table import Providers

NOW = 1_788_256_800_000


@pytest.mark.parametrize(("silence", "expected"), [(0, False), (299_999, False), (300_000, False), (300_001, True)])
@pytest.mark.parametrize("has_sent", [True, False])
def test_a_source_is_silent_once_more_than_its_interval_has_passed(
    silence: int,
    expected: bool,  # noqa: FBT001 - a row of the table
    has_sent: bool,  # noqa: FBT001
) -> None:
    at = NOW - silence
    activity = SourceActivity(since=at - 86_400_000, last_event=Last("ignored", at)) if has_sent else SourceActivity(since=at)

    assert activity.is_silent(300, NOW) is expected


def test_refused_webhooks_do_not_end_a_silence() -> None:
    activity = SourceActivity(since=NOW - 300_001, last_refusal=Last("signature_invalid", NOW))

    assert activity.is_silent(300, NOW)


@pytest.mark.parametrize(
    ("activity", "expected_interval"), [(SourceActivity(since=0), None), (SourceActivity(), 300), (SourceActivity(), None)]
)
def test_a_source_of_which_nothing_is_expected_or_known_is_not_silent(
    activity: SourceActivity, expected_interval: int | None
) -> None:
    assert not activity.is_silent(expected_interval, NOW)


def test_tallies_add_up_and_keep_what_came_last() -> None:
    first = Tally({"started": 1, "ended": 2}, last_event=Last("session_ended", 1))
    refused = Tally({"refused": 1}, last_refusal=Last("signature_invalid", 2))

    together = first.plus(refused).plus(Tally({"refused": 1}, last_refusal=Last("issuer_mismatch", 3)))

    assert dict(together.counts) == {"started": 1, "ended": 2, "refused": 2}
    assert (together.last_event, together.last_refusal) == (Last("session_ended", 1), Last("issuer_mismatch", 3))


@dataclass
class KnownActivities(SourceActivities):
    """Activities that are known; remembers which were looked up."""

    of: Mapping[tuple[str, str], SourceActivity]
    looked_up: list[tuple[str, str]] = field(default_factory=list)

    def get(self, provider: str, source: str) -> SourceActivity:
        self.looked_up.append((provider, source))
        return self.of.get((provider, source), SourceActivity())


@dataclass
class KnownSources:
    """Providers with their sources."""

    of: Mapping[str, list[Source]]

    def names(self) -> list[str]:
        return list(self.of)

    def sources(self, provider: str) -> list[Source]:
        return self.of[provider]


def source(name: str, expected_interval: int | None) -> Source:
    return Source(name, "keycloak", None, expected_interval=expected_interval)


def test_a_check_finds_the_silent_sources_of_all_providers() -> None:
    sources = {
        "acme": [source("busy", 300), source("silent", 300), source("patient", 86_400), source("unwatched", None)],
        "other": [source("never", 600)],
        "empty": [],
    }
    an_hour_ago = Last("session_ended", NOW - 3_600_000)
    activities = KnownActivities(
        {
            ("acme", "busy"): SourceActivity(0, last_event=Last("ignored", NOW - 1)),
            ("acme", "silent"): SourceActivity(0, last_event=an_hour_ago),
            ("acme", "patient"): SourceActivity(0, last_event=an_hour_ago),
            ("acme", "unwatched"): SourceActivity(0, last_event=an_hour_ago),
            ("other", "never"): SourceActivity(NOW - 3_600_000),
        }
    )

    silent = SilenceCheck(cast("Providers", KnownSources(sources)), activities).run(NOW)

    assert silent == [SilentSource("acme", "silent", 300, an_hour_ago.at), SilentSource("other", "never", 600, None)]
    assert ("acme", "unwatched") not in activities.looked_up
