"""What came of deliveries, by client and day, as it is shown."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, Field


class CountsView(BaseModel):
    """What came of deliveries. Those that gave way to a newer login, or that a client does not want, are not counted."""

    accepted: int
    failed: Annotated[int, Field(description="deliveries that were given up: rejected, blocked or undeliverable")]
    failed_by_code: dict[str, int]
    failed_attempts: Annotated[int, Field(description="attempts that were not accepted, whatever came of their deliveries")]
    failed_attempts_by_code: dict[str, int]
    p50_ms: Annotated[
        int | None, Field(description="from the end to the acceptance: half of those accepted were by then, give or take a tenth")
    ]
    p95_ms: Annotated[int | None, Field(description="the same for 95 of 100")]


class DayCountsView(CountsView):
    """What came of a client's deliveries on a day."""

    day: date


class ClientCountsView(CountsView):
    """What came of a client's deliveries."""

    client_id: str


class ClientDaysView(BaseModel):
    """What came of a client's deliveries from ``since`` to ``until``, which are UTC dates."""

    client_id: str
    since: date
    until: date
    total: CountsView
    days: list[DayCountsView]


class ProviderCountsView(BaseModel):
    """A page of clients, and what came of their deliveries from ``since`` to ``until``, which are UTC dates."""

    since: date
    until: date
    clients: list[ClientCountsView]
    next: str | None
