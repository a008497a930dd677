"""An imitation of the p2-inc listener: how it proves an event, as the webhook object of a realm configures it."""

import hashlib
import hmac
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.logout_tokens import TokenSigner

LIFESPAN = 300
"""Seconds that its JWTs live, unless WEBHOOK_JWT_LIFESPAN_SECONDS says otherwise."""

_DIGESTS = {"HmacSHA256": hashlib.sha256, "HmacSHA1": hashlib.sha1}


@dataclass(frozen=True)
class Listener:
    """Proves events as a webhook of a realm says; the realm signs JWTs with its active key."""

    webhook: Mapping[str, Any]
    realm: TokenSigner

    def sends(self, kind: str) -> bool:
        """Return whether the webhook is for events of this type."""
        wanted = self.webhook["eventTypes"]
        return kind in wanted or "*" in wanted or f"{kind.partition('.')[0]}.*" in wanted

    def headers(self, body: bytes, **claims: Any) -> dict[str, str]:
        """Return the headers of a try: its JWT is made anew for each. ``claims`` are others than the listener would write."""
        if self.webhook["authType"] == "bearer":
            now = int(time.time())
            own = {
                "iss": self.realm.issuer,
                "aud": self.webhook["audience"],
                "iat": now,
                "exp": now + LIFESPAN,
                "jti": str(uuid.uuid4()),
                "request_body_sha256": hashlib.sha256(body).hexdigest(),
            }
            return {"Authorization": f"Bearer {self.realm.sign({**own, **claims}, typ='JWT')}"}
        digest = _DIGESTS[self.webhook.get("algorithm", "HmacSHA256")]
        return {"X-Keycloak-Signature": hmac.digest(self.webhook["secret"].encode(), body, digest).hex()}
