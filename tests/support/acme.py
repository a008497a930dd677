"""The provider of the recorded sessions, with a name to be read."""

import re
import secrets
import string

from local.client import Stack
from tests.support.provider import Provider, issuer_of

_LETTERS = string.ascii_lowercase + string.digits
_NAME = re.compile(r"\bacme-[a-z0-9]{4}\b")
SHOWN = "acme-corp"


class Acme(Provider):
    """A provider that no other test uses; recordings show it as SHOWN, which is as wide."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.name = "acme-" + "".join(secrets.choice(_LETTERS) for _ in range(4))
        self.path = f"/providers/{self.name}"
        self.issuer = issuer_of(self.name)


def masked_name(text: str) -> str:
    return _NAME.sub(SHOWN, text)
