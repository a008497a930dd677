"""The bodies of requests and answers about mass logouts."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from backchannel.api.requests import Identifier
from backchannel.api.views import Timestamp, optional_timestamp, timestamp
from backchannel.logouts.mass.records import (
    FANNED_OUT,
    FOUND_SESSIONS,
    FOUND_SUBJECTS,
    LOST,
    RELEASED_SESSIONS,
    RELEASED_SUBJECTS,
    MassCounts,
    MassLogout,
    State,
    Totals,
)
from backchannel.providers.table import NAME

RATE, CLIENT_RATE = 200, 50
"""Tokens a second in all and for each client, unless others are asked for: a fifth of the default KMS quota."""

MOST_SUBJECTS = 10_000
FASTEST = 10_000

Rate = Annotated[int, Field(ge=1, le=FASTEST, description="logout tokens a second in all, about")]
ClientRate = Annotated[int, Field(ge=1, le=FASTEST, description="logout tokens a second for each client, about")]


class MassLogoutScope(BaseModel):
    """Whose sessions end: all of a provider, of one of its clients, of a list of subjects."""

    model_config = ConfigDict(extra="forbid")

    provider: Annotated[str, Field(pattern=f"^{NAME}$")]
    client_id: Identifier | None = None
    subjects: Annotated[list[Identifier] | None, Field(min_length=1, max_length=MOST_SUBJECTS)] = None


class MassLogoutRequest(BaseModel):
    """Whom to log out, why and how fast."""

    model_config = ConfigDict(extra="forbid")

    scope: MassLogoutScope
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=100,
            description="a word of ours (logout, compromised ...); any other text is kept as the note of an admin_logout",
        ),
    ]
    rate: Rate = RATE
    client_rate: ClientRate = CLIENT_RATE
    started_before: Annotated[
        AwareDatetime | None, Field(description="only sessions that started before this; until now, if left out or later")
    ] = None
    dry_run: Annotated[bool, Field(description="count whom it would reach, and end nothing")] = False


class MassLogoutRates(BaseModel):
    """How fast it goes from now on."""

    model_config = ConfigDict(extra="forbid")

    rate: Rate | None = None
    client_rate: ClientRate | None = None


class NumbersView(BaseModel):
    """How many subjects, and how many RP sessions of theirs."""

    subjects: int
    sessions: int


class ChangeView(BaseModel):
    """Who asked for what, when."""

    at: Timestamp
    by: Annotated[str, Field(description="the ARN of an IAM principal")]
    what: str


class MassLogoutView(BaseModel):
    """A mass logout and what has come of it.

    ``found``: whom it is about; everybody once ``is_read``. ``released``: whose logouts are on their way. ``fanned_out`` logouts
    have their deliveries; ``lost`` ones were not settled four days after their release, and are not watched any more.
    ``deliveries`` are counted by status, ``clients`` has the same for each client; they may lag by
    seconds, by ten minutes where a client is down for hours. ``finished_at``: when all that was released was settled.
    """

    mass_logout_id: str
    state: Literal["running", "paused", "cancelled", "finished"]
    provider: str
    client_id: str | None
    listed_subjects: int | None
    reason: str
    note: Annotated[str | None, Field(description="the operator's own words")]
    started_before: Timestamp | None
    created_at: Timestamp
    requested_by: Annotated[str, Field(description="the ARN of an IAM principal")]
    rate: int
    client_rate: int
    is_read: bool
    found: NumbersView
    released: NumbersView
    fanned_out: int
    lost: int
    deliveries: dict[str, int]
    clients: dict[str, dict[str, int]]
    finished_at: Timestamp | None
    history: list[ChangeView]


class MassLogoutsView(BaseModel):
    """A page of mass logouts, the newest first."""

    mass_logouts: list[MassLogoutView]
    next: str | None


type ReachedState = Literal[
    "ready",
    "paused",
    "failing",
    "suppressed",
    "no_backchannel_logout_uri",
    "provider_tokens_only",
    "unregistered",
    "unknown",
]


class ReachedClientView(BaseModel):
    """A client at which somebody would be logged out, and the tokens that it would be sent."""

    client_id: str
    tokens: int
    state: Annotated[
        ReachedState,
        Field(
            description="failing: its circuit is open. Sent nothing: suppressed, its logout_reasons do not have the reason;"
            " no_backchannel_logout_uri; provider_tokens_only, its own_tokens is false; unregistered."
            " unknown: one of too many to look at"
        ),
    ]


class MassLogoutEstimate(BaseModel):
    """Whom a mass logout would reach. If ``share`` is below 1, numbers and time are estimated from that part of the table."""

    dry_run: Literal[True]
    share: float
    subjects: int
    sessions: int
    without_sid: int
    clients: list[ReachedClientView]
    seconds: Annotated[float, Field(description="how long the release takes at this rate, or as fast as it goes")]


def shown(mass: MassLogout, totals: Totals) -> MassLogoutView:
    """Return what is shown of a mass logout."""
    state: State = mass.state
    clients = _by_client(totals.tally)
    statuses = {status: 0 for counts in clients.values() for status in counts}
    return MassLogoutView(
        mass_logout_id=mass.mass_logout,
        state=state,
        provider=mass.provider,
        client_id=mass.client_id,
        listed_subjects=mass.subjects,
        reason=mass.reason,
        note=mass.note,
        started_before=optional_timestamp(mass.started_before),
        created_at=timestamp(mass.created_at),
        requested_by=mass.requested_by,
        rate=mass.rate,
        client_rate=mass.client_rate,
        is_read=totals.is_read,
        found=NumbersView(subjects=totals.tally[FOUND_SUBJECTS], sessions=totals.tally[FOUND_SESSIONS]),
        released=NumbersView(subjects=totals.tally[RELEASED_SUBJECTS], sessions=totals.tally[RELEASED_SESSIONS]),
        fanned_out=totals.tally[FANNED_OUT],
        lost=totals.tally[LOST],
        deliveries={each: sum(counts.get(each, 0) for counts in clients.values()) for each in statuses},
        clients=clients,
        finished_at=optional_timestamp(mass.finished_at),
        history=[ChangeView(at=timestamp(each.at), by=each.by, what=each.what) for each in mass.history],
    )


def _by_client(tally: MassCounts) -> dict[str, dict[str, int]]:
    clients: dict[str, dict[str, int]] = {}
    for name, number in tally.items():
        status, _, client = name.partition(" ")
        if client and name not in {FOUND_SUBJECTS, FOUND_SESSIONS, RELEASED_SUBJECTS, RELEASED_SESSIONS}:
            clients.setdefault(client, {})[status] = number
    return clients
