"""How far one request came, for the person who asked for it. A usual POST has no trace."""

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from backchannel.egress.addresses import Network, vet
from backchannel.errors import AddressForbidden, RelyingPartyFault, TlsFailed

MOST_NAMES = 20
"""Names of a certificate that are shown: some are for hundreds."""

_SHORT = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}


class Step(StrEnum):
    """The parts of a request in their order; with http, there is no TLS."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address that the resolver gave, or that the URI has; ``forbidden``: why it must not be dialled."""

    address: str
    forbidden: str | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server's verified certificate says. Times in seconds since the epoch; of many names, the first."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why OpenSSL refused a certificate: its number for that (X509_V_ERR_…), and its words."""

    code: int
    words: str


class Trace:
    """What one request met on its way. A step that failed has a time too, once ``stop`` was called."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._since = clock()
        self.has_tls = True
        self.milliseconds: dict[Step, float] = {}
        self.candidates: tuple[Candidate, ...] = ()
        self.dialled: list[str] = []
        self.tls_version: str | None = None
        self.certificate: Certificate | None = None
        self.refusal: Refusal | None = None

    def done(self, step: Step) -> None:
        """Note that a step has ended; the next one begins."""
        now = self._clock()
        self.milliseconds[step] = (now - self._since) * 1000
        self._since = now

    def resolved(self, addresses: Sequence[str], allowed: Sequence[Network], *, public: bool) -> None:
        """Note the addresses, also those that must not be dialled."""
        self.candidates = tuple(Candidate(each, _why_forbidden(each, allowed, public=public)) for each in addresses)

    def secured(self, sock: ssl.SSLSocket) -> None:
        """Note what was agreed on, and with whom."""
        self.tls_version = sock.version()
        self.certificate = _certificate(sock.getpeercert() or {})

    def refused(self, error: ssl.SSLCertVerificationError) -> None:
        """Note why the certificate was not accepted."""
        self.refusal = Refusal(error.verify_code, error.verify_message)

    def stop(self, fault: RelyingPartyFault) -> Step:
        """Return the step that failed."""
        is_tls = isinstance(fault, TlsFailed)  # also where our own trust store could not be made, before the first step
        missing = (step for step in Step if step not in self.milliseconds and (self.has_tls or step is not Step.TLS))
        failed = Step.TLS if is_tls else next(missing)
        self.done(failed)
        return failed


def _why_forbidden(address: str, allowed: Sequence[Network], *, public: bool) -> str | None:
    try:
        vet(address, allowed, public=public)
    except AddressForbidden as fault:
        return str(fault)
    return None


def _certificate(found: Mapping[str, Any]) -> Certificate:
    """Read what ``SSLSocket.getpeercert`` returns."""
    names = tuple(str(name) for _, name in found.get("subjectAltName", ())[:MOST_NAMES])
    subject, issuer = _name(found.get("subject", ())), _name(found.get("issuer", ()))
    times = (round(ssl.cert_time_to_seconds(found[each])) if each in found else 0 for each in ("notBefore", "notAfter"))
    return Certificate(subject, issuer, names, *times)


def _name(parts: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Return a distinguished name in one line."""
    return ", ".join(f"{_SHORT.get(kind, kind)}={value}" for relative in parts for kind, value in relative)
