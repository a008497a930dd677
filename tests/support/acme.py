"""The provider of the recorded sessions, with a name to be read."""

import re
import secrets
import string

from local.client import Stack
from tests.support.provider import Provider, issuer_of

_LETTERS = "".join(sorted({*string.ascii_lowercase, *string.digits} - {*"aeiouy"}))
_NAME = re.compile(rf"\b[qxz][{_LETTERS}]{{3}}\b")
SHOWN = "acme"


class Acme(Provider):
    """A provider that no other test uses; recordings show it as SHOWN, which is as wide. Its name is like no word."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.name = secrets.choice("qxz") + "".join(secrets.choice(_LETTERS) for _ in range(len(SHOWN) - 1))
        self.path = f"/providers/{self.name}"
        self.issuer = issuer_of(self.name)
        assert stack.admin("GET", self.path)[0] == 404, f"{self.name} was drawn before: run the test again"


def masked_name(text: str) -> str:
    return _NAME.sub(SHOWN, text)
