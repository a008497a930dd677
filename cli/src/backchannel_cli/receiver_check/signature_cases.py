"""Bad tokens whose signature or header proves nothing; their claims are good."""

from backchannel_cli.receiver_check.case import (
    ALGORITHM,
    CRITICAL,
    ISSUERS_KEYS,
    KEYS_IN_ADVANCE,
    ONE_ALGORITHM,
    REQUEST,
    STEP_2,
    STEP_3,
    TYPE,
    Case,
)
from backchannel_cli.receiver_check.keys import kid, public
from backchannel_cli.receiver_check.tokens import Mint

OTHER_KEYS_PATH = "/other-keys.json"
"""Where the issuer's server has the stranger's key, which is not a key of the issuer."""


def _key_in_header(mint: Mint) -> str:
    stranger = mint.keys.stranger
    return mint.headed(stranger, kid=kid(stranger), jwk=public(stranger, mint.keys.alg))


def _key_by_address(mint: Mint) -> str:
    stranger = mint.keys.stranger
    return mint.headed(stranger, kid=kid(stranger), jku=mint.issuer + OTHER_KEYS_PATH)


SIGNATURE_CASES = (
    Case("no-jwt", lambda _: "not-a-token", STEP_2, "The token is not even parsed: anything that is posted here passes."),
    Case("no-token", lambda _: None, REQUEST, "A request without any logout_token passes.", parameters={"something": "else"}),
    Case("alg-none", lambda m: m.unsigned("none"), STEP_3, "alg none is taken: unsigned tokens pass, and anybody can write one."),
    Case(
        "alg-none-spelled-otherwise",
        lambda m: m.unsigned("nOnE"),
        STEP_3,
        "alg none is refused only in lower case: unsigned tokens pass, and anybody can write one.",
    ),
    Case(
        "signature-removed",
        Mint.signature_removed,
        STEP_2,
        "The signature is not checked if it is empty: anybody can write a token.",
    ),
    Case(
        "claims-altered",
        Mint.altered,
        STEP_2,
        "The signature is not checked: claims that were changed after signing pass.",
    ),
    Case(
        "signed-by-a-stranger",
        lambda m: m.headed(m.keys.stranger),
        STEP_2,
        "The signature is not checked: a token signed by somebody else's key, under the issuer's kid, passes.",
    ),
    Case(
        "unknown-kid",
        lambda m: m.headed(m.keys.stranger, kid=kid(m.keys.stranger)),
        ISSUERS_KEYS,
        "A kid that is not in the JWKS is taken, and the signature is then not checked: anybody can write a token.",
    ),
    Case(
        "key-in-header",
        _key_in_header,
        KEYS_IN_ADVANCE,
        "The key is taken from the token's own header (jwk): anybody can bring a key.",
    ),
    Case(
        "key-by-address",
        _key_by_address,
        KEYS_IN_ADVANCE,
        "The key is fetched from where the token says (jku): anybody can name a place.",
    ),
    Case(
        "hmac-with-public-key",
        Mint.by_public_key,
        ONE_ALGORITHM,
        "Key confusion: the issuer's public key is taken for the secret of HS256, and everybody has that key.",
    ),
    Case(
        "other-algorithm",
        lambda m: m.headed(m.keys.other, alg=m.keys.other_alg, kid=kid(m.keys.other)),
        ALGORITHM,
        "The algorithm is not fixed: the token's header chooses it. OpenID's conformance suite fails this.",
    ),
    Case(
        "unknown-crit",
        lambda m: m.headed(crit=["receiver_check"], receiver_check=True),
        CRITICAL,
        "crit is not looked at: a header parameter that has to be understood, and is not, is ignored.",
    ),
    Case(
        "other-typ",
        lambda m: m.headed(typ="at+jwt"),
        TYPE,
        "typ is not looked at: a token that says it is an access token passes if its claims do.",
        is_required=False,
    ),
)
