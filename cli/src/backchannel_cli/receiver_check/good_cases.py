"""The good token, its replay, and others that are as good."""

from backchannel_cli.receiver_check.case import CLAIMS, REQUEST, STEP_4, STEP_8, SUCCESS, TYPE, Case, Expectation
from backchannel_cli.receiver_check.tokens import Mint

SOMEBODY = "receiver-check"


def _sid_alone(mint: Mint) -> str:
    return mint.token(sub=None, sid=mint.user.get("sid", SOMEBODY))


def _sub_alone(mint: Mint) -> str:
    return mint.token(sid=None, sub=mint.user.get("sub", SOMEBODY))


GOOD = Case("good", Mint.once, SUCCESS, "The good token is refused: no logout will work.", Expectation.ACCEPT)

REPLAYED = Case(
    "replayed",
    Mint.once,
    STEP_8,
    "jti is not remembered: the same token passes twice. Until it expires, whoever sees it can send it again.",
    is_required=False,
)

AGAIN = Case(
    "good-logged-out-already",
    Mint.token,
    SUCCESS,
    "A second good token for the same user is refused, although a user who is logged out already counts as a success. "
    "A retry will be reported as a failure.",
    Expectation.ACCEPT,
    is_required=False,
)
"""Bad tokens are about the same user. If this one is refused, so are they, whatever is wrong with them."""

GOOD_CASES = (
    GOOD,
    REPLAYED,
    AGAIN,
    Case(
        "good-sid-alone",
        _sid_alone,
        CLAIMS,
        "A token with sid alone is refused: register the client so that its tokens have sub (`sub_only` or `both`).",
        Expectation.ACCEPT,
        is_required=False,
    ),
    Case(
        "good-sub-alone",
        _sub_alone,
        CLAIMS,
        "A token with sub alone is refused: register the client with backchannel_logout_session_required.",
        Expectation.ACCEPT,
        is_required=False,
    ),
    Case(
        "good-without-typ",
        lambda mint: mint.headed(typ=None),
        TYPE,
        "typ logout+jwt is insisted on. It protects; issuers that do not send it cannot be used.",
        Expectation.ACCEPT,
        is_required=False,
    ),
    Case(
        "good-typ-jwt",
        lambda mint: mint.headed(typ="JWT"),
        TYPE,
        "typ logout+jwt is insisted on. It protects; issuers that send JWT cannot be used.",
        Expectation.ACCEPT,
        is_required=False,
    ),
    Case(
        "good-aud-list",
        lambda mint: mint.token(aud=[mint.client_id]),
        STEP_4,
        "aud as a list of one is refused, which ID Tokens may have.",
        Expectation.ACCEPT,
    ),
    Case(
        "good-unknown-claim",
        lambda mint: mint.token(**{SOMEBODY: "to be ignored"}),
        CLAIMS,
        "A claim that is not known makes the token fail; it has to be ignored.",
        Expectation.ACCEPT,
    ),
    Case(
        "good-unknown-parameter",
        Mint.token,
        REQUEST,
        "A second parameter in the form makes the request fail; it has to be ignored.",
        Expectation.ACCEPT,
        parameters={SOMEBODY: "to be ignored"},
    ),
)
