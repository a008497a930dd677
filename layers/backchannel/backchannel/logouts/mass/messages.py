"""What travels through MassLogoutQueue."""

from dataclasses import dataclass

from backchannel.aws.messages import Message


@dataclass(frozen=True, slots=True)
class MassLogoutMessage(Message):
    """A turn of the work on a mass logout. There is one message of a turn at a time; one of an earlier turn is out of date."""

    mass_logout: str
    turn: int

    @property
    def tenant(self) -> tuple[str]:
        return (self.mass_logout,)
