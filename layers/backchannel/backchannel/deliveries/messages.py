"""What travels through DeliveryQueue and RetryQueue: keys, never a token, a URI or a secret."""

from dataclasses import dataclass

from backchannel.aws.messages import Message
from backchannel.errors import MessageNotUnderstood


@dataclass(frozen=True, slots=True)
class DeliveryMessage(Message):
    """One delivery to be attempted: the key of its record."""

    provider: str
    logout_id: str
    client_id: str
    sid: str | None = None

    @property
    def tenant(self) -> tuple[str, str]:
        return self.provider, self.client_id


@dataclass(frozen=True, slots=True)
class WakeMessage(Message):
    """A client was resumed at ``resumed_at`` (milliseconds since the epoch): what waits for it is to be attempted.

    ``status`` and ``after`` say where in the index its deliveries were not looked at yet; None for the beginning.
    ``is_repeated``: an earlier try may have hastened deliveries from there on, and not queued them.
    """

    provider: str
    client_id: str
    resumed_at: int
    status: str | None = None
    after: str | None = None
    is_repeated: bool = False

    @property
    def tenant(self) -> tuple[str, str]:
        return self.provider, self.client_id


def read(body: str) -> DeliveryMessage | WakeMessage:
    """Read a message of either kind; nearly all are the first.

    Raises:
        MessageNotUnderstood: no version of this service wrote it.

    """
    try:
        return DeliveryMessage.from_json(body)
    except MessageNotUnderstood as failure:
        try:
            return WakeMessage.from_json(body)
        except MessageNotUnderstood:
            raise failure from None
