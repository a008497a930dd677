"""What one case is: a request, what has to become of it, and who says so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from backchannel_cli.receiver_check.tokens import Mint


class Expectation(StrEnum):
    ACCEPT = "accept"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Words:
    """What a specification says, and where."""

    section: str
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """A token that is good or bad in one way.

    ``otherwise``: what it means if the relying party does the opposite of what is expected. ``is_required``: the
    specification requires it; otherwise it leaves it to the relying party.
    """

    name: str
    token: Callable[[Mint], str | None]
    words: Words
    otherwise: str
    expects: Expectation = Expectation.REFUSE
    is_required: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict)

    def form(self, mint: Mint) -> dict[str, str]:
        """Return the parameters of the request's body."""
        token = self.token(mint)
        return ({} if token is None else {"logout_token": token}) | dict(self.parameters)


STEP_2 = Words(
    "Back-Channel Logout 2.6, step 2",
    "Validate the Logout Token signature in the same way that an ID Token signature is validated, with the following "
    "refinements.",
)
STEP_3 = Words(
    "Back-Channel Logout 2.6, step 3",
    "Validate the alg (algorithm) Header Parameter in the same way it is validated for ID Tokens. [...] Additionally, an alg "
    "with the value none MUST NOT be used for Logout Tokens.",
)
STEP_4 = Words(
    "Back-Channel Logout 2.6, step 4",
    "Validate the iss, aud, iat, and exp Claims in the same way they are validated in ID Tokens.",
)
STEP_5 = Words("Back-Channel Logout 2.6, step 5", "Verify that the Logout Token contains a sub Claim, a sid Claim, or both.")
STEP_6 = Words(
    "Back-Channel Logout 2.6, step 6",
    "Verify that the Logout Token contains an events Claim whose value is JSON object containing the member name "
    "http://schemas.openid.net/event/backchannel-logout.",
)
STEP_7 = Words("Back-Channel Logout 2.6, step 7", "Verify that the Logout Token does not contain a nonce Claim.")
STEP_8 = Words(
    "Back-Channel Logout 2.6, step 8",
    "Optionally verify that another Logout Token with the same jti value has not been recently received.",
)
REQUEST = Words(
    "Back-Channel Logout 2.5",
    "The POST body uses the application/x-www-form-urlencoded encoding and must include a logout_token parameter [...]. The "
    "POST body MAY contain other values in addition to logout_token. Values that are not understood by the implementation MUST "
    "be ignored.",
)
TYPE = Words(
    "Back-Channel Logout 2.4",
    "It is RECOMMENDED that Logout Tokens be explicitly typed. This is accomplished by including a typ (type) Header Parameter "
    "with a value of logout+jwt in the Logout Token.",
)
CLAIMS = Words(
    "Back-Channel Logout 2.4",
    "A Logout Token MUST contain either a sub or a sid Claim, and MAY contain both. [...] Logout Tokens MAY contain other "
    "Claims. Any Claims used that are not understood MUST be ignored.",
)
EVENT_VALUE = Words(
    "Back-Channel Logout 2.4",
    "The corresponding member value MUST be a JSON object and SHOULD be the empty JSON object {}.",
)
EXP = Words("Back-Channel Logout 2.4", "exp: REQUIRED. Expiration time, as specified in Section 2 of [OpenID.Core].")
IAT = Words("Back-Channel Logout 2.4", "iat: REQUIRED. Issued at time, as specified in Section 2 of [OpenID.Core].")
JTI = Words(
    "Back-Channel Logout 2.4", "jti: REQUIRED. Unique identifier for the token, as specified in Section 9 of [OpenID.Core]."
)
SUCCESS = Words("Back-Channel Logout 2.8", "If the logout succeeded, the RP MUST respond with an HTTP 200 OK.")
ISSUERS_KEYS = Words("OpenID Connect Core 3.1.3.7, step 6", "The Client MUST use the keys provided by the Issuer.")
KEYS_IN_ADVANCE = Words(
    "OpenID Connect Core 2",
    "ID Tokens SHOULD NOT use the JWS or JWE x5u, x5c, jku, or jwk Header Parameter fields. Instead, references to keys used are "
    "communicated in advance using Discovery and Registration parameters, per Section 10.",
)
ALGORITHM = Words(
    "OpenID Connect Core 3.1.3.7, step 7",
    "The alg value SHOULD be the default of RS256 or the algorithm sent by the Client in the id_token_signed_response_alg "
    "parameter during Registration.",
)
ONE_ALGORITHM = Words(
    "RFC 8725 3.1",
    "[...] each key MUST be used with exactly one algorithm, and this MUST be checked when the cryptographic "
    "operation is performed.",
)
ISSUER = Words(
    "OpenID Connect Core 3.1.3.7, step 2",
    "The Issuer Identifier for the OpenID Provider (which is typically obtained during Discovery) MUST exactly match the value "
    "of the iss (issuer) Claim.",
)
AUDIENCE = Words(
    "OpenID Connect Core 3.1.3.7, step 3",
    "The ID Token MUST be rejected if the ID Token does not list the Client as a valid audience, or if it contains additional "
    "audiences not trusted by the Client.",
)
EXPIRY = Words("OpenID Connect Core 3.1.3.7, step 9", "The current time MUST be before the time represented by the exp Claim.")
ISSUED_AT = Words(
    "OpenID Connect Core 3.1.3.7, step 10",
    "The iat Claim can be used to reject tokens that were issued too far away from the current time [...]. The acceptable range "
    "is Client specific.",
)
CRITICAL = Words(
    "RFC 7515 4.1.11",
    "If any of the listed extension Header Parameters are not understood and supported by the recipient, then the JWS "
    "is invalid.",
)
