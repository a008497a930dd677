"""What samples of events/ cause through the deployed stack: the people whose sessions they end, and what must have ended."""

import secrets
from dataclasses import dataclass, field

from backchannel.sessions.events import SubjectSessionsEnded, logout_id
from tests.support.provider import Json, Provider
from tests.support.unspeakable import new_id


@dataclass(frozen=True)
class Effect:
    """What a sample causes: the sessions that end, for which reason, or that one starts, or that it is refused with a code.

    ``ends`` is "session", "user" or "user at wiki". Nothing at all: it is ignored.
    """

    ends: str | None = None
    reason: str | None = None
    starts: bool = False
    code: str | None = None


STARTED, IGNORED, UNPROVEN = Effect(starts=True), Effect(), Effect(code="signature_invalid")

ENDED = {"session": {"wiki", "mail"}, "user": {"wiki", "mail", "other"}, "user at wiki": {"wiki", "other"}}
"""The sessions that end."""


@dataclass
class People:
    """The sessions of the user whom a sample names: two clients, twice at wiki; of an administrator; and of somebody else."""

    provider: Provider
    sub: str = ""
    sid: str = ""
    administrator: str = ""
    event_id: str = ""
    sessions: dict[str, Json] = field(default_factory=dict)

    def begin(self) -> None:
        """Let new people log in."""
        self.sub, self.sid, self.administrator = new_id("sub"), new_id("sid"), new_id("admin")
        self.event_id = f"evt-{secrets.token_hex(8)}"
        self.sessions = {
            "wiki": {"sub": self.sub, "sid": self.sid, "client_id": "wiki"},
            "mail": {"sub": self.sub, "sid": self.sid, "client_id": "mail"},
            "other": {"sub": self.sub, "sid": new_id("sid"), "client_id": "wiki"},
            "administrator": {"sub": self.administrator, "sid": new_id("sid"), "client_id": "wiki"},
            "somebody": {"sub": new_id("sub"), "sid": new_id("sid"), "client_id": "wiki"},
        }
        self.provider.import_sessions(self.sessions.values())

    def expect(self, effect: Effect) -> None:
        """Before a start, let the names mean somebody who has no session yet."""
        if effect.starts:
            self.sub, self.sid = new_id("sub"), new_id("sid")

    def ended(self) -> set[str]:
        """Return which of the sessions have ended."""
        listed = [each for sub in {each["sub"] for each in self.sessions.values()} for each in self.provider.rp_sessions(sub=sub)]
        over = [{name: each[name] for name in ("sub", "sid", "client_id")} for each in listed if each["ended_at"] is not None]
        return {name for name, session in self.sessions.items() if session in over}

    def check(self, effect: Effect, *, has_sid: bool = True) -> None:
        """Wait for an effect, and check that nothing else happened. ``has_sid``: whether the session that starts has one."""
        if effect.starts:
            (session,) = self.provider.rp_sessions(sub=self.sub)
            assert (session["client_id"], session["sid"], session["ended_at"]) == ("wiki", self.sid if has_sid else None, None)
        if effect.ends is not None:
            logout, clients = self._logout(effect.ends)
            self.provider.wait_until(logout, *["accepted"] * clients)
            assert self.provider.get(f"/logouts/{logout}")["reason"] == effect.reason
        assert self.ended() == (ENDED[effect.ends] if effect.ends else set())

    def _logout(self, ends: str) -> tuple[str, int]:
        """Return the logout that carries the end out, and how many clients are told."""
        if ends == "session":
            return self.provider.logout_of_session(self.sid), 2
        client_id = "wiki" if ends == "user at wiki" else None
        end = SubjectSessionsEnded(self.sub, 0, self.event_id, client_id)
        return logout_id(self.provider.issuer, end), 2 if client_id is None else 1
