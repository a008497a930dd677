"""MassLogoutsTable: what operators have asked for, and how far it has come.

| pk | sk | |
|---|---|---|
| ``<id>`` | ``MASS`` | the mass logout: what was asked for, its state, its pace, who works on it |
| ``<id>`` | ``TOTALS`` | what is counted in all; changes together with the chunks that it sums up |
| ``<id>`` | ``SUBJECTS#<n>`` | listed subjects |
| ``<id>`` | ``SEGMENT#<n>`` | how far a segment of SessionsTable, or the list of subjects, is read |
| ``<id>`` | ``CHUNK#<segment>#<n>`` | some logouts: everything that is released is in one of these |
| ``<id>`` | ``WORK#<segment>#<n>`` | how far a chunk is released and settled; gone when it is |
| ``SCOPE#<name>`` | ``SCOPE`` | the mass logout that is active in this scope |
| ``LIST`` | ``<time, descending>#<id>`` | all mass logouts, the newest first |
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, ListAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from backchannel.deliveries.records import RETENTION

MASS, TOTALS, SCOPE, LIST = "MASS", "TOTALS", "SCOPE", "LIST"


class MassItem(Model):
    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    expires_at = NumberAttribute()
    mass_logout = UnicodeAttribute(null=True)
    request = JSONAttribute(null=True)
    state = UnicodeAttribute(null=True)
    rate = NumberAttribute(null=True)
    client_rate = NumberAttribute(null=True)
    history: ListAttribute[str] = ListAttribute(null=True)
    turn = NumberAttribute(null=True)
    lease = UnicodeAttribute(null=True)
    leased_until = NumberAttribute(null=True)
    pace = JSONAttribute(null=True)
    finished_at = NumberAttribute(null=True)
    document = JSONAttribute(null=True)
    is_read = BooleanAttribute(null=True)
    version = NumberAttribute(null=True)


def expiry(now: int) -> int:
    return now // 1000 + RETENTION
