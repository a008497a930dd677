"""The relying party's: an outcome of the attempt, never an error of a function."""

from typing import ClassVar

from backchannel.errors.root import BackchannelError


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


class TlsAborted(RelyingPartyFault):
    """The server ended TLS with an alert after the handshake, such as for want of a client certificate. The token may be sent."""

    code = "tls_aborted"


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
