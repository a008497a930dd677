"""What the result of a test of a client means, in words for the operator. The codes are stable; docs/operations.md has them.

How relying parties behave was seen with real ones, each with good and broken tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from backchannel import errors
from backchannel.egress.trace import Refusal
from backchannel.errors import InternalFailure, RelyingPartyFault


@dataclass(frozen=True, slots=True)
class Meaning:
    """A stable code, and what the operator is told."""

    code: str
    text: str


_CHECKS = (
    "Compare token with what the RP is set to: iss with its issuer, aud with its client_id, alg and typ with what it takes."
    " GET /providers/{provider}/keys/check says whether the provider's JWKS has the key; an RP may need a while to"
    " read a new one."
)

ACCEPTED = Meaning(
    "accepted",
    "The RP took the token. So name, TLS, path and form are right. It does not show that anybody would be logged out: the subject"
    " was made up, and some RPs answer with a success whatever they get.",
)
ACCEPTED_WITH_PAGE = Meaning(
    "accepted_with_page",
    "The RP answered with a success and a web page. A logout endpoint has no page to show: most likely the path is not"
    " that of the"
    " endpoint, but one that the application answers with its start page. Check backchannel_logout_uri.",
)
ACCEPTED_UNTRUSTED = Meaning(
    "accepted_untrusted",
    "The client has own_tokens false, so it should refuse a token that the provider did not sign, and it took one. It trusts our"
    " keys by now (then set own_tokens), or it verifies no signature, or it answers with a success whatever it gets.",
)
REFUSED = Meaning(
    "token_refused",
    "The endpoint is there and refuses a good token; error says which of its checks failed, if the RP says so. "
    + _CHECKS
    + " Some RPs answer 400 to a sub or sid that they do not know, as those of a test are: then only a real logout shows more.",
)
REFUSED_AS_IT_MUST = Meaning(
    "refused_as_it_must",
    "The client has own_tokens false, so it must refuse a token that the provider did not sign, and it did. So name,"
    " TLS, path and"
    " form are right. Whether it takes the provider's own tokens, only a real logout shows.",
)
_FILTERED = Meaning(
    "filtered",
    "Something before the endpoint wants a login, a CSRF token or a client certificate, or does not let our address"
    " in: a proxy, a"
    " firewall or a filter of the framework. Exempt the path from it: a logout token is its own proof.",
)
_NO_SUCH_PATH = Meaning(
    "no_such_path",
    "There is nothing at this path of the host. Compare path and query with the RP's documentation; some have the endpoint only"
    " once it is switched on, or need a slash at the end. Or a proxy leads elsewhere.",
)
_BUSY = Meaning("busy", "The RP asks to come again later: a rate limit, or too much load. A real delivery does.")
_PROXY = Meaning("behind_proxy_down", "A proxy answers, and the RP behind it does not: it is down, restarting or overloaded.")

STATUSES: Mapping[int, Meaning] = {
    HTTPStatus.BAD_REQUEST: REFUSED,  # Back-Channel Logout 1.0, section 2.8
    HTTPStatus.UNAUTHORIZED: _FILTERED,
    HTTPStatus.FORBIDDEN: _FILTERED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: _FILTERED,
    HTTPStatus.NOT_FOUND: _NO_SUCH_PATH,
    HTTPStatus.GONE: _NO_SUCH_PATH,
    HTTPStatus.METHOD_NOT_ALLOWED: Meaning(
        "method_refused",
        "The path is there, but takes no POST. It is another endpoint, such as the one for front-channel logout or for the user's"
        " own logout, or a slash is missing at the end.",
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Meaning(
        "form_refused",
        "The path does not read application/x-www-form-urlencoded. It is an endpoint of another kind, or the framework's parser"
        " for forms is off.",
    ),
    HTTPStatus.REQUEST_TIMEOUT: _BUSY,
    HTTPStatus.TOO_EARLY: _BUSY,
    HTTPStatus.TOO_MANY_REQUESTS: _BUSY,
    HTTPStatus.BAD_GATEWAY: _PROXY,
    HTTPStatus.SERVICE_UNAVAILABLE: _PROXY,
    HTTPStatus.GATEWAY_TIMEOUT: _PROXY,
}
CLASSES: Mapping[int, Meaning] = {
    2: ACCEPTED,
    3: Meaning(
        "redirected",
        "The RP redirects, and a token is never sent where a redirect leads. Most likely the path is behind a login; or a slash"
        " is missing or too many, or the URI has http or a host name that is not used any more.",
    ),
    4: Meaning("request_refused", "The RP refuses the request as such. Check path and query of backchannel_logout_uri."),
    5: Meaning(
        "server_error",
        "The RP failed. Its log says why. Some RPs (django-pyoidc, nextjs-auth0) answer 500 to a token that they refuse: "
        + _CHECKS,
    ),
}
_UNEXPECTED = Meaning("unexpected_status", "The answer has a status that HTTP does not have, or that is none of a final answer.")

FAULTS: Mapping[type[RelyingPartyFault], Meaning] = {
    errors.DnsFailure: Meaning(
        "dns_failure",
        "The host of backchannel_logout_uri has no address here, or the resolver did not answer. Check its spelling; a name of a"
        " private zone is known only where the function runs within that network.",
    ),
    errors.AddressForbidden: Meaning(
        "address_forbidden",
        "Nothing was sent, since the host leads to an address that must not be dialled; addresses says which, and by which rule."
        " One such address is enough. If the RP is in a private network, list that in the client's allowed_networks.",
    ),
    errors.ConnectFailed: Meaning("connect_failed", "Nothing listens at this address and port, or there is no way to it."),
    errors.ConnectTimeout: Meaning(
        "connect_timeout", "Nobody answered within 2 s. Most likely a firewall drops what comes from here, or the host is down."
    ),
    errors.TlsFailed: Meaning(
        "tls_failed",
        "Nothing was sent, since there is no TLS with this server: detail says why. It may speak no TLS at this port, or nothing"
        " newer than TLS 1.1, or want a client certificate.",
    ),
    errors.TlsAborted: Meaning(
        "tls_aborted",
        "The server ended TLS after the handshake; detail has its alert. The token may have been sent by then, and there is no"
        " answer. Most likely it wants a client certificate, which this service does not have: exempt the path from that.",
    ),
    errors.TlsTimeout: Meaning("tls_timeout", "The server took the connection, and did not end the TLS handshake in time."),
    errors.ReadTimeout: Meaning(
        "read_timeout",
        "The RP was connected, and silent for 5 s. It may wait for something itself, such as the provider's JWKS or its store of"
        " sessions. It may have taken the token.",
    ),
    errors.DeadlineExceeded: Meaning(
        "deadline_exceeded", "The answer was not there after 8 s in all. The RP may have the token."
    ),
    errors.ConnectionReset: Meaning(
        "connection_reset",
        "The other side closed the connection before a whole answer. failed_at says when: within the TLS handshake it"
        " may be a port"
        " without TLS; after that, a proxy or a firewall that does not like the request, or an RP that died of it.",
    ),
    errors.AnswerMalformed: Meaning("answer_malformed", "What came back is not HTTP/1.1. Check the port."),
    errors.EncryptionKeyUnavailable: Meaning(
        "encryption_key_unavailable",
        "Nothing was sent: the client wants encrypted tokens, and there is not exactly one key of its own for them; detail says"
        " why. Check its jwks or jwks_uri: docs/operations.md, 'A client whose encryption key is missing'.",
    ),
}

_AUTHORITY = Meaning(
    "tls_authority_unknown",
    "Nothing was sent: the certificate leads to no authority that is trusted. The server does not send its intermediate"
    " certificates, or it has a private authority: put that into the client's ca_bundle, which then is trusted alone.",
)
_NAME = Meaning(
    "tls_name_mismatch",
    "Nothing was sent: the certificate is not for the host of backchannel_logout_uri. Use a name that it is for, or another one.",
)
REFUSALS: Mapping[int, Meaning] = {
    # OpenSSL's X509_V_ERR_…, openssl-verification-options(1)
    9: Meaning("tls_not_yet_valid", "Nothing was sent: the server's certificate is not valid yet. Check the server's clock."),
    10: Meaning("tls_expired", "Nothing was sent: the server's certificate, or one above it, has expired."),
    18: Meaning(
        "tls_self_signed",
        "Nothing was sent: the server's certificate is its own authority. If it is to be trusted, put it into the"
        " client's ca_bundle.",
    ),
    19: _AUTHORITY,
    20: _AUTHORITY,
    21: _AUTHORITY,
    62: _NAME,
    64: _NAME,
}

NO_URI = Meaning(
    "no_backchannel_logout_uri", "Nothing was sent: the client has no backchannel_logout_uri, so it is told of nothing."
)
NO_KEY = Meaning("no_key", "Nothing was sent: no key signs the client's tokens. Register the client again, which makes one.")
NO_KEY_NEEDED = Meaning(
    "no_key_needed",
    "Nothing was sent: the client has own_tokens false, so it is sent the provider's own tokens alone, and there is no"
    " key of ours"
    " that could sign one for a test. Only a real logout shows what it does.",
)
INTERNAL = Meaning(
    InternalFailure.code,
    "Nothing was sent, and the RP has nothing to do with it: something on our side does not answer; detail says what. A real"
    " delivery waits, and loses no attempt. Test again.",
)
PAUSED = Meaning("client_paused", "The client is paused: real deliveries wait. This test was sent all the same.")
CIRCUIT_OPEN = Meaning(
    "circuit_open",
    "The client has kept failing, so its circuit is open: real deliveries wait, and one at a time is sent to see whether it is"
    " back. This test was sent all the same, and neither opens nor closes it.",
)


def of_status(status: int, body: bytes, *, own_tokens: bool) -> Meaning:
    """Return what an answer to a good token means; with ``own_tokens`` false, to one that the RP must refuse."""
    found = STATUSES.get(status) or CLASSES.get(status // 100, _UNEXPECTED)
    if found is ACCEPTED and body.lstrip()[:1] == b"<":
        return ACCEPTED_WITH_PAGE
    if own_tokens:
        return found
    return {ACCEPTED: ACCEPTED_UNTRUSTED, REFUSED: REFUSED_AS_IT_MUST}.get(found, found)


def of_fault(fault: RelyingPartyFault, refusal: Refusal | None) -> Meaning:
    """Return what it means that there was no answer; ``refusal``: why the certificate was refused, if it was."""
    found = FAULTS[type(fault)]
    return found if refusal is None else REFUSALS.get(refusal.code, found)


ALL: Sequence[Meaning] = (
    *(ACCEPTED, ACCEPTED_WITH_PAGE, ACCEPTED_UNTRUSTED, REFUSED, REFUSED_AS_IT_MUST),
    *STATUSES.values(),
    *CLASSES.values(),
    _UNEXPECTED,
    *FAULTS.values(),
    *REFUSALS.values(),
    *(NO_URI, NO_KEY, NO_KEY_NEEDED, INTERNAL, PAUSED, CIRCUIT_OPEN),
)
"""Every meaning that there is; some more than once."""
