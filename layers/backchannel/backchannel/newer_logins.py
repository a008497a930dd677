"""An old event must not end a newer login: what becomes of a delivery whose token would."""

from dataclasses import dataclass

from backchannel.clients import Client
from backchannel.deliveries import Deliveries
from backchannel.delivery_items import DeliveryRecord
from backchannel.fanout import Delivery, RpSession
from backchannel.messages import DeliveryMessage, EndMessage
from backchannel.providers import Provider
from backchannel.queues import Outgoing, Queue
from backchannel.sessions import Sessions

SUPERSEDED_RUN = "superseded"
"""The ``fanout_id`` of deliveries by ``sid`` that take the place of one by ``sub``."""


@dataclass(frozen=True, slots=True)
class NewerLogins:
    """Looks, before an attempt, for logins that its token must not end; ``queue`` takes the deliveries that come of it."""

    sessions: Sessions
    deliveries: Deliveries
    queue: Queue

    def supersede(self, provider: Provider, client: Client, record: DeliveryRecord, sid: str | None, now: int) -> bool:
        """Whether a token with this ``sid``, or with none, would end a newer login than it is about; ``now`` in milliseconds.

        One with ``sid`` ends whatever the client has begun within that provider session, unless that session is over. One
        without ends all of the subject's logins at the client (section 2.4); then each older one gets a delivery by ``sid``
        in its place, if the client takes such tokens.
        """
        if sid is not None:
            if record.whole_session:
                return False
            found = self.sessions.of_session_at(provider.issuer, sid=sid, client_id=record.client_id, now=now)
            return any(_is_newer(session, record) for session in found)
        found = self.sessions.of_subject_at(provider.issuer, sub=record.sub, client_id=record.client_id, now=now)
        if not any(_is_newer(session, record) for session in found):
            return False
        if client.subject != "sub_only":
            for session in found:
                self._tell_by_sid(session, record, now)
        return True

    def _tell_by_sid(self, session: RpSession, record: DeliveryRecord, now: int) -> None:
        is_ours = session.ended_by in {None, record.logout_id}  # None: its mark is on the way
        if not is_ours or session.started_at > record.ended_at or session.sid is None:
            return
        run = EndMessage(record.provider, record.logout_id, SUPERSEDED_RUN, record.ended_at, source_event_id="", sub=record.sub)
        delivery = Delivery(session.client_id, session.sid, session.sub, session.client_sub, started_at=session.started_at)
        if self.deliveries.record(run, delivery, now):
            message = DeliveryMessage(record.provider, record.logout_id, session.client_id, session.sid)
            self.queue.send([Outgoing(message.to_json(), (record.provider, session.client_id))])


def _is_newer(session: RpSession, record: DeliveryRecord) -> bool:
    return session.started_at > record.ended_at and session.ended_by is None
