"""A user's browser without a screen: cookies, redirects and forms."""

import json
import re
from html import unescape
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

_TIMEOUT_S = 60.0  # a login waits for the webhook, and that for a Lambda function's first start
_FORM_POST = re.compile(r'<form method="post" action="([^"]+)">')  # OAuth 2.0 Form Post Response Mode: sent by a script
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"/>')
_XSRF = re.compile(r'name="xsrf" value="([^"]+)"')


class Browser:
    """One cookie jar: one session at the provider, and one at each relying party that was visited."""

    def __init__(self) -> None:
        """Open it with no cookies and no proxy."""
        self._cookies = CookieJar()
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self._cookies))

    @property
    def cookie_header(self) -> str:
        """Return what the browser sends with each request."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._cookies)

    def log_in(self, relying_party: str, user: str) -> dict[str, str]:
        """Log in at a relying party and return the ``sub``, ``sid`` and ``kid`` of the ID token that it got."""
        status, page = self._open(f"{relying_party}/login?{urlencode({'user': user})}")
        if form := _FORM_POST.search(page):
            status, page = self._open(unescape(form[1]), {name: unescape(value) for name, value in _HIDDEN.findall(page)})

        assert status == 200, page
        claims: dict[str, str] = json.loads(page)
        return claims

    def is_logged_in(self, relying_party: str) -> bool:
        """Tell whether the relying party still takes this browser for a user's."""
        status, body = self._open(f"{relying_party}/profile")

        assert status in {200, 401}, body
        return status == 200

    def log_out(self, issuer: str) -> None:
        """End the session at the provider (RP-Initiated Logout 1.0), confirming that it is meant."""
        _, page = self._open(f"{issuer}/session/end")
        xsrf = _XSRF.search(page)
        assert xsrf, page

        status, body = self._open(f"{issuer}/session/end/confirm", {"xsrf": xsrf[1], "logout": "yes"})

        assert status == 200, body

    def _open(self, url: str, form: dict[str, Any] | None = None) -> tuple[int, str]:
        data = urlencode(form).encode("ascii") if form else None
        try:
            with self._opener.open(url, data, _TIMEOUT_S) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()
