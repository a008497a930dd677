"""Which RP sessions a mass logout need not look after: an earlier logout has told their client, who has accepted the token.

Ended RP sessions stay in the table until they expire, and may be more than the live ones. A fan-out would find nothing to tell,
but the release would cost rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backchannel.aws.dynamodb import bind, storage
from backchannel.deliveries.outcomes import Status
from backchannel.deliveries.records import Item, delivery_key
from backchannel.providers.table import Recipients
from backchannel.sessions.rp_sessions import RpSession

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type ToBeTold = Callable[[Sequence[RpSession]], list[RpSession]]
"""Returns those of some RP sessions that a mass logout has to look after."""


class Told:
    """Reads what became of earlier deliveries."""

    def __init__(self, dynamodb: DynamoDBClient, table_name: str) -> None:
        self._items = bind(Item, dynamodb, table_name)

    def untold_by(self, recipients: Recipients) -> ToBeTold:
        """Return what looks for a provider: if it tells all clients, those without an RP session may still have to be told."""
        return self.untold if recipients == "sessions" else list

    def untold(self, sessions: Sequence[RpSession]) -> list[RpSession]:
        """Return the RP sessions whose deliveries are not all accepted. One without any is kept: its logout may be under way."""
        of_session = {place: _deliveries(each) for place, each in enumerate(sessions) if each.ended_by is not None}
        if not of_session:
            return list(sessions)
        statuses = self._statuses(list({name for names in of_session.values() for name in names}))
        found = {place: {statuses[name] for name in names if name in statuses} for place, names in of_session.items()}
        return [each for place, each in enumerate(sessions) if found.get(place) != {Status.ACCEPTED}]

    def _statuses(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
        with storage():
            found = self._items.batch_get(names, consistent_read=True, attributes_to_get=["pk", "sk", "status"])
            return {(item.pk, item.sk): item.status for item in found}


def _deliveries(session: RpSession) -> list[tuple[str, str]]:
    """Return the keys of what may have told of an RP session: by its ``sid``, or for the whole subject."""
    return [(session.ended_by or "", delivery_key(session.client_id, sid)) for sid in dict.fromkeys((session.sid, None))]
