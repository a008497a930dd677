"""Whether a login at the relying party is alive, as a page shows that needs one."""

from dataclasses import dataclass
from enum import StrEnum

from backchannel_cli.errors import FailureError, UsageError
from backchannel_cli.receiver_check.sending import Answer, NoAnswer, Sender, Target

_CHOOSE = (
    "Choose a page that only a logged-in user sees, log in as the user that the check names, and give the cookie of that login."
)


class LoginEnd(StrEnum):
    """Whether the good token ended the login."""

    ENDED = "ended by the good token"
    NOT_ENDED = "not ended by the good token"
    UNKNOWN = "cannot be told: the page did not answer, or in another way than before"


@dataclass(frozen=True, slots=True)
class Probed:
    """Statuses of the page: without the cookie, and with it before and after the good token."""

    anonymous: int
    before: int
    after: int | None = None

    @property
    def end(self) -> LoginEnd:
        return {self.anonymous: LoginEnd.ENDED, self.before: LoginEnd.NOT_ENDED}.get(self.after or 0, LoginEnd.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Probe:
    """``cookie``: a Cookie header's value; it goes to this page only and is never shown."""

    page: Target
    cookie: str
    sender: Sender

    def first(self) -> Probed:
        """See that the page tells a login from none.

        Raises:
            FailureError: it does not answer.
            UsageError: it answers the same with and without the cookie.

        """
        anonymous, before = self.sender.get(self.page), self.sender.get(self.page, self.cookie)
        for answer in (anonymous, before):
            if isinstance(answer, NoAnswer):
                raise FailureError(
                    f"The page of --probe does not answer: {answer.reason}.", "Look whether the relying party runs."
                )
        status, status_logged_in = _status(anonymous), _status(before)
        if status is None or status_logged_in is None or status == status_logged_in:
            message = f"The page of --probe answers {status} with the cookie and without: it tells no login. No token was sent."
            raise UsageError(message, _CHOOSE)
        return Probed(status, status_logged_in)

    def look(self) -> int | None:
        return _status(self.sender.get(self.page, self.cookie))


def _status(answer: Answer | NoAnswer) -> int | None:
    return answer.status if isinstance(answer, Answer) else None
