"""Which addresses a logout token may be sent to.

``ipaddress.is_global`` is not enough. It allows multicast, deprecated ranges, and ranges that embed an IPv4 address: a gateway
could lead from there to a forbidden address.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from backchannel.errors import AddressForbidden

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network


class Closed(NamedTuple):
    """A range that is not public; ``openable``: a client's ``allowed_networks`` may open it."""

    network: Network
    openable: bool
    reason: str


def _private(network: str, reason: str) -> Closed:
    return Closed(ip_network(network), openable=True, reason=reason)


def _never(network: str, reason: str) -> Closed:
    return Closed(ip_network(network), openable=False, reason=reason)


CLOSED: Sequence[Closed] = (
    # The first row that contains an address decides. From IANA's registries of IPv4 and IPv6 Special-Purpose Address Space.
    _never("0.0.0.0/8", "this network; 0.0.0.0 reaches the own host (RFC 1122, section 3.2.1.3)"),
    _private("10.0.0.0/8", "private (RFC 1918)"),
    _private("100.64.0.0/10", "shared by carriers, used inside VPCs (RFC 6598)"),
    _private("127.0.0.0/8", "loopback (RFC 1122); in Lambda, the runtime API listens there"),
    _never("169.254.0.0/16", "link-local (RFC 3927); instance metadata and task credentials answer there"),
    _private("172.16.0.0/12", "private (RFC 1918)"),
    _never("192.0.0.0/24", "IETF protocol assignments (RFC 6890)"),
    _never("192.0.2.0/24", "documentation (RFC 5737)"),
    _never("192.88.99.0/24", "relays of 6to4, deprecated (RFC 7526)"),
    _private("192.168.0.0/16", "private (RFC 1918)"),
    _private("198.18.0.0/15", "benchmarking (RFC 2544), used inside VPCs"),
    _never("198.51.100.0/24", "documentation (RFC 5737)"),
    _never("203.0.113.0/24", "documentation (RFC 5737)"),
    _never("224.0.0.0/4", "multicast (RFC 5771)"),
    _never("255.255.255.255/32", "broadcast (RFC 919)"),
    _never("240.0.0.0/4", "reserved (RFC 1112)"),
    _never("::/128", "unspecified; reaches the own host (RFC 4291, section 2.5.2)"),
    _private("::1/128", "loopback (RFC 4291, section 2.5.3)"),
    _never("::/96", "IPv4-compatible, an IPv4 address within (RFC 4291, section 2.5.5.1)"),
    _never("::ffff:0:0:0/96", "IPv4-translated, an IPv4 address within (RFC 2765)"),
    _never("64:ff9b::/96", "NAT64, an IPv4 address within (RFC 6052)"),
    _never("64:ff9b:1::/48", "local NAT64, an IPv4 address within (RFC 8215)"),
    _never("100::/64", "discarded (RFC 6666)"),
    _never("2001::/32", "Teredo, an IPv4 address within (RFC 4380)"),
    _never("2001::/23", "IETF protocol assignments (RFC 2928)"),
    _never("2001:db8::/32", "documentation (RFC 3849)"),
    _never("2002::/16", "6to4, an IPv4 address within (RFC 3056)"),
    _never("3ffe::/16", "6bone, given back (RFC 3701)"),
    _never("3fff::/20", "documentation (RFC 9637)"),
    _never("5f00::/16", "SRv6 segment identifiers (RFC 9602)"),
    _never("fd00:ec2::/32", "services of AWS inside an instance, its metadata among them"),
    _private("fc00::/7", "unique local (RFC 4193)"),
    _never("fe80::/10", "link-local (RFC 4291, section 2.5.6)"),
    _never("fec0::/10", "site-local, deprecated (RFC 3879)"),
    _never("ff00::/8", "multicast (RFC 4291, section 2.7)"),
    # All of IPv6 outside 2000::/3, the only space that IANA assigns as global unicast (RFC 3587, section 3).
    _never("::/3", "not global unicast"),
    _never("4000::/2", "not global unicast"),
    _never("8000::/1", "not global unicast"),
)


def vet(text: str, allowed: Sequence[Network] = (), *, public: bool = True) -> Address:
    """Return the address to dial; for an IPv4-mapped address, the IPv4 address that the kernel would dial.

    ``allowed`` are the client's ``allowed_networks``. If ``public`` is false, only these may be dialled.

    Raises:
        AddressForbidden: the address must not be dialled; the message says why.

    """
    address = _parse(text)
    closed = next((row for row in CLOSED if address in row.network), None)
    if closed is not None and not closed.openable:
        raise AddressForbidden(f"{address} is never dialled: {closed.reason}")
    if any(address in network for network in allowed):
        return address
    if closed is not None:
        raise AddressForbidden(f"{address} is in no allowed network: {closed.reason}")
    if not public:
        raise AddressForbidden(f"{address} is in no allowed network")
    return address


def is_openable(network: Network) -> bool:
    """Whether a client's ``allowed_networks`` may have this network: it holds no public address, and none that is never dialled.

    Only ``fc00::/7`` as a whole holds some that are never dialled; these stay closed.
    """
    rows = (row for row in CLOSED if row.network.version == network.version)
    row = next((row for row in rows if network.subnet_of(row.network)), None)  # type: ignore[arg-type]
    return row is not None and row.openable


def is_literal(host: str) -> bool:
    """Whether the host of a URI is an address, so that no resolver is asked."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _parse(text: str) -> Address:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise AddressForbidden(f"{text!r} is not an address") from error
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        raise AddressForbidden(f"{text!r} is scoped to an interface")
    return address.ipv4_mapped or address
