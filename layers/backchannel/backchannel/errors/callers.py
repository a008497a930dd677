"""The caller's: answered with a problem document (RFC 9457), never retried by us."""

from typing import ClassVar, Self

from backchannel.errors.root import BackchannelError, shown


class CallerError(BackchannelError):
    """The request cannot be carried out as it stands; ``status`` is the HTTP status that says so."""

    code = "invalid_request"
    status: ClassVar[int] = 400
    shown: ClassVar[str | None] = None
    """What the caller is told instead of the message, if the message is for the log alone."""
    at: str | None = None
    """The member that is wrong, where that is told."""


class MalformedRequestError(CallerError):
    """The body is not what its format promises: not JSON, not an object, a member missing or of another type."""

    code = "malformed_request"


class ParameterUnknownError(CallerError):
    """The query has a parameter that the resource does not have."""

    code = "parameter_unknown"


class ReadOnlyMemberError(CallerError):
    """The body gives a member that only this service sets another value than it has."""

    code = "read_only_member"

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the error for a member."""
        return cls(f"{name} is read-only: leave it out, or give it as GET shows it")


class PayloadTooLargeError(CallerError):
    """The body is larger than any that makes sense."""

    code = "payload_too_large"
    status = 413


class ContentEncodingUnsupportedError(CallerError):
    """The body is compressed."""

    code = "content_encoding_unsupported"
    status = 415


class ContentTypeUnsupportedError(CallerError):
    """The body is of a type that the resource does not read."""

    code = "content_type_unsupported"
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


class SubjectUnknownError(CallerError):
    """The sender names a user in a way that leads to no ``sub`` here, and is to be told that its user was not found."""

    code = "subject_unknown"
    status = 404


class SecurityEventTokenInvalidError(CallerError):
    """The sender has signed it, but it is no Security Event Token as RFC 8417 and the Shared Signals Framework want it."""

    code = "security_event_token_invalid"


class AudienceMismatchError(CallerError):
    """The sender has signed it for somebody else."""

    code = "audience_mismatch"


class VerificationStateMismatchError(CallerError):
    """A stream is verified with another state than the one that we gave (SSF 1.0, section 8.1.4)."""

    code = "verification_state_mismatch"


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


class StartTimeMissingError(CallerError):
    """A session from before does not say when it started; as a new one, it would escape the ends that came since."""

    code = "started_at_missing"


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
