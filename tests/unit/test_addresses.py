from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.egress.addresses import CLOSED, Closed, is_literal, vet
from backchannel.errors import AddressForbidden

ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
EMBEDDING: Mapping[str, Callable[[IPv4Address], int]] = {
    "IPv4-compatible": int,
    "NAT64": lambda address: int(IPv6Address("64:ff9b::")) | int(address),
    "local NAT64": lambda address: int(IPv6Address("64:ff9b:1::")) | int(address),
    "IPv4-translated": lambda address: int(IPv6Address("::ffff:0:0:0")) | int(address),
    "6to4": lambda address: int(IPv6Address("2002::")) | int(address) << 80,
    "Teredo": lambda address: int(IPv6Address("2001::")) | int(address) ^ 0xFFFF_FFFF,
}

openable = [row for row in CLOSED if row.openable]
never = [row for row in CLOSED if not row.openable]
addresses = st.ip_addresses() | st.sampled_from(CLOSED).flatmap(lambda row: st.ip_addresses(network=row.network))


def _name(row: Closed) -> str:
    return str(row.network)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "192.88.98.255", "2606:4700::1111", "2a00:1450::8a"])
def test_a_public_address_is_dialled(address: str) -> None:
    assert str(vet(address)) == address


@pytest.mark.parametrize("row", CLOSED, ids=_name)
def test_first_and_last_address_of_a_closed_range_are_refused(row: Closed) -> None:
    for address in (row.network[0], row.network[-1]):
        with pytest.raises(AddressForbidden):
            vet(str(address))


@pytest.mark.parametrize("row", openable, ids=_name)
def test_a_client_can_open_a_private_range(row: Closed) -> None:
    address = row.network[-1]

    assert vet(str(address), [row.network]) == address


@pytest.mark.parametrize("row", never, ids=_name)
def test_allowed_networks_cannot_open_ranges_that_are_never_dialled(row: Closed) -> None:
    for address in (row.network[0], row.network[-1]):
        with pytest.raises(AddressForbidden):
            vet(str(address), [*ANYWHERE, row.network])


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",  # metadata of AWS, Azure, Google
        "169.254.170.2",  # credentials of ECS tasks
        "fd00:ec2::254",  # metadata of AWS
        "fe80::a9fe:a9fe",
        "0.0.0.0",  # noqa: S104 - it must not be dialled
        "::",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
    ],
)
def test_metadata_and_non_unicast_addresses_are_never_dialled(address: str) -> None:
    with pytest.raises(AddressForbidden):
        vet(address, ANYWHERE)


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700::1111%1", "::1%lo"])
def test_a_scoped_address_is_refused(address: str) -> None:
    with pytest.raises(AddressForbidden):
        vet(address, ANYWHERE)


@pytest.mark.parametrize("text", ["", "rp.test", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "10.0.0.1 ", "[::1]"])
def test_text_that_is_not_a_plain_address_is_refused(text: str) -> None:
    assert not is_literal(text)
    with pytest.raises(AddressForbidden):
        vet(text, ANYWHERE)


def test_an_ipv4_mapped_address_is_dialled_as_ipv4() -> None:
    assert vet("::ffff:1.1.1.1") == IPv4Address("1.1.1.1")


def test_an_allowed_network_opens_only_itself() -> None:
    networks = [ip_network("10.1.0.0/16")]

    assert vet("10.1.255.255", networks) == IPv4Address("10.1.255.255")
    with pytest.raises(AddressForbidden):
        vet("10.2.0.0", networks)


def test_without_public_only_allowed_networks_are_dialled() -> None:
    networks = [ip_network("10.1.0.0/16"), ip_network("1.1.1.0/24")]

    assert vet("10.1.0.1", networks, public=False) == IPv4Address("10.1.0.1")
    assert vet("1.1.1.1", networks, public=False) == IPv4Address("1.1.1.1")
    with pytest.raises(AddressForbidden):
        vet("1.0.0.1", networks, public=False)


@given(addresses)
@example(IPv6Address("64:ff9b::1.1.1.1"))
@example(IPv4Address("192.88.99.1"))
@example(IPv6Address("fec0::1"))
def test_without_allowed_networks_only_global_unicast_is_dialled(address: IPv4Address | IPv6Address) -> None:
    try:
        vetted = vet(str(address))
    except AddressForbidden:
        return

    assert vetted.is_global
    assert True not in {vetted.is_multicast, vetted.is_reserved, vetted.is_link_local, vetted.is_unspecified}
    assert isinstance(vetted, IPv4Address) or vetted in IPv6Network("2000::/3")


@given(st.ip_addresses(v=4))
def test_every_global_ipv4_unicast_address_is_dialled(address: IPv4Address) -> None:
    odd = [ip_network("192.0.0.0/24"), ip_network("192.88.99.0/24")]  # is_global passes parts of them
    if not address.is_global or address.is_multicast or any(address in network for network in odd):
        return

    assert vet(str(address)) == address


@given(st.ip_addresses(v=4), st.sampled_from(sorted(EMBEDDING)))
def test_an_embedded_ipv4_address_does_not_get_around_the_check(address: IPv4Address, embedding: str) -> None:
    embedded = ip_address(EMBEDDING[embedding](address).to_bytes(16))
    if embedded == IPv6Address("::1"):
        return  # loopback, which a client may open

    with pytest.raises(AddressForbidden):
        vet(str(embedded), ANYWHERE)


@given(st.ip_addresses(v=4))
def test_an_ipv4_mapped_address_is_treated_as_its_ipv4_address(address: IPv4Address) -> None:
    assert _fate(f"::ffff:{address}") == _fate(str(address))


@given(addresses, st.lists(st.sampled_from(openable).map(lambda row: row.network), max_size=3))
def test_allowed_networks_add_only_their_own_addresses(address: IPv4Address | IPv6Address, networks: list[IPv6Network]) -> None:
    if _fate(str(address)) == "refused" and not any(address in network for network in networks):
        with pytest.raises(AddressForbidden):
            vet(str(address), networks)


def _fate(text: str) -> str:
    try:
        return str(vet(text))
    except AddressForbidden:
        return "refused"
