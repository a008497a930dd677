"""The provider of the recorded sessions: it has a name to be read, and is made anew each time."""

import secrets

from local.client import Stack
from tests.support.provider import Provider, issuer_of


class Acme(Provider):
    """The provider `acme`, under an issuer of its own; nothing is left of the one before."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.name, self.path = "acme", "/providers/acme"
        self.issuer = issuer_of(f"acme-{secrets.token_hex(6)}")

    def remove(self) -> None:
        for kind, member in (("sources", "source"), ("clients", "client_id")):
            _, answer = self.stack.admin("GET", f"{self.path}/{kind}")
            for each in answer.get(kind, []):
                self._remove(f"/{kind}/{each[member]}")
        self._remove("")

    def _remove(self, path: str) -> None:
        status, answer = self.stack.admin("DELETE", self.path + path)
        assert status in {204, 404}, answer
