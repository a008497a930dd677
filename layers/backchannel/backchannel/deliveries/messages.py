"""What travels through DeliveryQueue and RetryQueue: a key, never a token, a URI or a secret."""

from dataclasses import dataclass

from backchannel.aws.messages import Message


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
