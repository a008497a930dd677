"""Messages as JSON. They carry ids and times, never a token, a URI or a secret."""

import json
from dataclasses import asdict, fields
from typing import Self

from backchannel.aws.sqs import Outgoing
from backchannel.errors import MessageNotUnderstood


class Message:
    """A base for frozen dataclasses; the member names are the field names."""

    __slots__ = ()

    @property
    def tenant(self) -> tuple[str, ...]:
        """Whose backlog the message belongs to (fair queues)."""
        raise NotImplementedError

    def outgoing(self, delay: int = 0) -> Outgoing:
        """Return the message as it is sent; ``delay`` is in milliseconds."""
        return Outgoing(self.to_json(), self.tenant, delay)

    def to_json(self) -> str:
        members = asdict(self).items()  # type: ignore[call-overload]
        return json.dumps({name: value for name, value in members if value is not None}, separators=(",", ":"))

    @classmethod
    def from_json(cls, body: str) -> Self:
        """Read a message.

        Raises:
            MessageNotUnderstood: no version of this service wrote it.

        """
        try:
            members = json.loads(body)
            message = cls(**members)
            "".join(value for value in members.values() if isinstance(value, str)).encode()  # no half of a surrogate pair
        except (ValueError, TypeError, RecursionError) as error:
            raise MessageNotUnderstood(f"not a {cls.__name__}") from error
        for field in fields(cls):  # type: ignore[arg-type]
            if not isinstance(getattr(message, field.name), field.type):  # type: ignore[arg-type]
                raise MessageNotUnderstood(f"{cls.__name__}.{field.name} is of another type")
        return message
