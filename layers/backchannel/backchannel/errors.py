"""Every failure this service knows, as one tree with three branches: the caller's, the relying party's, and internal.

What happens next depends on the branch, never on the text of a message. Each leaf carries a stable ``code``, which is what
logs, metrics, problem documents and delivery records show.
"""

from typing import ClassVar, Self

SHOWN = 64
"""Characters of a name that an error repeats; the longest name of a provider or a source has as many."""


def shown(name: str) -> str:
    """Return a name that somebody else chose, quoted and cut, for the text of an error."""
    return repr(name if len(name) <= SHOWN else f"{name[:SHOWN]}…")


class BackchannelError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "internal_error"


# --- The caller's: answered with a problem document (RFC 9457), never retried by us ---------------------------------


class CallerError(BackchannelError):
    """The request cannot be carried out as it stands; ``status`` is the HTTP status that says so."""

    code = "invalid_request"
    status: ClassVar[int] = 400
    shown: ClassVar[str | None] = None
    """What the caller is told instead of the message, if the message is for the log alone."""


class MalformedRequestError(CallerError):
    """The body is not what its format promises: not JSON, not an object, a member missing or of another type."""

    code = "malformed_request"


class PayloadTooLargeError(CallerError):
    """The body is larger than any that makes sense."""

    code = "payload_too_large"
    status = 413


class ContentEncodingUnsupportedError(CallerError):
    """The body is compressed."""

    code = "content_encoding_unsupported"
    status = 415


class SignatureInvalidError(CallerError):
    """The sender did not prove itself: no such source, signature missing, wrong, or outside its time window.

    The answer is the same for all of these, so that nobody can find out which providers and sources there are.
    """

    code = "signature_invalid"
    status = 401
    shown = "the sender did not prove itself: no such source, no valid signature, or signed too long ago"


class LogoutTokenInvalidError(CallerError):
    """The provider has signed it, but it is no logout token for a client that is registered here."""

    code = "logout_token_invalid"


class SenderUnsupportedError(CallerError):
    """The events come from another sender than the source's format is for, so none of them would be understood."""

    code = "sender_unsupported"


class NotFoundError(CallerError):
    """No such provider, source, client, logout or path."""

    code = "not_found"
    status = 404

    @classmethod
    def of(cls, kind: str, name: str) -> Self:
        """Return the error for a name, of which it repeats the beginning."""
        return cls(f"no {kind} {shown(name)}")


class IssuerMismatchError(CallerError):
    """The event names another issuer than the provider it was sent to."""

    code = "issuer_mismatch"


class EventTimeInvalidError(CallerError):
    """The event claims to be from the future, further than clocks may differ, or its time is not in milliseconds."""

    code = "event_time_invalid"


class ExpiryInvalidError(CallerError):
    """``expires_at`` is before the epoch, or so late that no answer could show it."""

    code = "expiry_invalid"


class IdentifierInvalidError(CallerError):
    """``sub``, ``sid`` or ``client_id`` is empty, too long or holds control characters."""

    code = "identifier_invalid"


class RegistrationInvalidError(CallerError):
    """Provider, source or client metadata that must not be stored as it stands."""

    code = "registration_invalid"


class EmergencyUnconfirmedError(CallerError):
    """A key is to be withdrawn at once, but the request does not say so in full; the message says what it costs."""

    code = "emergency_unconfirmed"


class UpstreamUnavailableError(CallerError):
    """The provider's own discovery document or JWKS was not to be had."""

    code = "upstream_unavailable"


class UpstreamInvalidError(CallerError):
    """The provider's own discovery document or JWKS is not valid, or it is that of another issuer."""

    code = "upstream_invalid"


class DiscoveryNotConfiguredError(CallerError):
    """There is no discovery document, since it is not known where the provider's own is."""

    code = "discovery_not_configured"
    status = 404


class ConflictError(CallerError):
    """The change contradicts what is stored: another issuer for a provider, an issuer that another provider has."""

    code = "conflict"
    status = 409


# --- The relying party's: an outcome of the attempt, never an error of a function -----------------------------------


class RelyingPartyFault(BackchannelError):  # noqa: N818 - a fault is recorded as an outcome, not raised to anybody
    """The POST got no answer. ``nothing_sent``: we refused to send the token there.

    ``address`` is the last one that was dialled, if any was. The text goes to the log: it quotes nothing that an RP said, which
    could be our token.
    """

    code = "relying_party_fault"
    nothing_sent: ClassVar[bool] = False
    address: str | None = None


class DnsFailure(RelyingPartyFault):
    """The host has no address, or the resolver did not answer in time."""

    code = "dns_failure"


class AddressForbidden(RelyingPartyFault):
    """The host, or one of the addresses that the resolver gave, must not be dialled; none was."""

    code = "address_forbidden"
    nothing_sent = True


class ConnectFailed(RelyingPartyFault):
    """Refused or unreachable."""

    code = "connect_failed"


class ConnectTimeout(RelyingPartyFault):
    """No TCP connection within the connect timeout."""

    code = "connect_timeout"


class TlsFailed(RelyingPartyFault):
    """The certificate is not valid for the host, or no common protocol: going on would hand the token to anybody."""

    code = "tls_failed"
    nothing_sent = True


class TlsTimeout(RelyingPartyFault):
    """The TLS handshake did not end in time."""

    code = "tls_timeout"


class ReadTimeout(RelyingPartyFault):
    """Connected, but silent for longer than the read timeout."""

    code = "read_timeout"


class DeadlineExceeded(RelyingPartyFault):
    """The whole POST took longer than its deadline, however busily the peer dripped."""

    code = "deadline_exceeded"


class ConnectionReset(RelyingPartyFault):
    """The peer closed or reset the connection before a whole answer."""

    code = "connection_reset"


class AnswerMalformed(RelyingPartyFault):
    """What came back is not HTTP, asks for another protocol, or is more than we read."""

    code = "answer_malformed"


class EncryptionKeyUnavailable(RelyingPartyFault):
    """The client wants encrypted tokens, and there is no key of its own to encrypt to: none fits, several do, or no answer."""

    code = "encryption_key_unavailable"
    nothing_sent = True


# --- Internal: no attempt is spent, the message goes back to its queue ----------------------------------------------


class InternalFailure(BackchannelError):  # noqa: N818 - the counterpart of RelyingPartyFault
    """Something on our side is missing or does not answer; ``shown`` is what a caller is told, None for the message."""

    code = "internal_failure"
    shown: ClassVar[str | None] = "something on our side does not answer; nothing was lost, send it again"


class SigningUnavailable(InternalFailure):
    """KMS throttled, unreachable or refusing."""

    code = "signing_unavailable"


class KeyServiceUnavailable(InternalFailure):
    """KMS did not make, show or delete a key."""

    code = "key_service_unavailable"


class FunctionUnavailable(InternalFailure):
    """Another function of this stack failed, or did not answer in time."""

    code = "function_unavailable"


class StorageUnavailable(InternalFailure):
    """A table throttled or unreachable."""

    code = "storage_unavailable"


class DocumentUnavailable(InternalFailure):
    """A document of somebody else's was not to be had, and there is no copy that is young enough to do without."""

    code = "document_unavailable"


class DocumentInvalid(DocumentUnavailable):
    """The document is there, but it is not what its reader needs."""

    code = "document_invalid"


class KidClash(InternalFailure):
    """The provider publishes another key under the ``kid`` of one of ours: whichever a relying party took could be wrong."""

    code = "kid_clash"
    shown = None


class QueueUnavailable(InternalFailure):
    """SQS throttled, unreachable, or refusing a message."""

    code = "queue_unavailable"


class OutOfTime(InternalFailure):
    """Too little time is left to POST a token and to record the result."""

    code = "out_of_time"


class MessageStuck(InternalFailure):
    """Internal failures have held this message up for days; it belongs in the dead-letter queue."""

    code = "message_stuck"


class MessageNotUnderstood(InternalFailure):
    """No version of this service wrote this message; it belongs in the dead-letter queue."""

    code = "message_not_understood"
