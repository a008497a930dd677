import ssl
from dataclasses import replace

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from hypothesis import assume, given
from hypothesis import strategies as st

from backchannel.egress import post as egress
from backchannel.egress.addresses import CLOSED
from backchannel.errors import RegistrationInvalidError
from backchannel.providers.clients import Client
from backchannel.providers.registration import register
from backchannel.providers.trust import MAX_CA_BUNDLE, MAX_NETWORKS
from backchannel.providers.uris import MAX_ISSUER_ESCAPED, MAX_URI, check_issuer

WIKI = Client("wiki", backchannel_logout_uri="https://wiki.example/logout")

ACCEPTED_URIS = {
    "plain": "https://wiki.example/logout",
    "no path": "https://wiki.example",
    "port": "https://wiki.example:8443/logout",
    "empty port": "https://wiki.example:/logout",
    "query, as mod_auth_openidc registers it": "https://wiki.example/redirect_uri?logout=backchannel",
    "query without a path": "https://wiki.example?logout=backchannel",
    "capital letters": "HTTPS://Wiki.Example/Logout",
    "internationalised": "https://xn--bcher-kva.example/logout",
    "underscore": "https://my_wiki.example/logout",
    "percent-encoded path": "https://wiki.example/%C3%A9",
    "digits in the last label": "https://wiki.example1/logout",
    "an address as first labels": "https://10.0.0.1.example/logout",
    "fully qualified": "https://wiki.example./logout",
    "as long as may be": f"https://wiki.example/{'a' * (MAX_URI - len('https://wiki.example/'))}",
}
REFUSED_URIS = {
    "empty": "",
    "relative": "/logout",
    "without a scheme": "//wiki.example/logout",
    "without a host": "https:///logout",
    "opaque": "https:wiki.example",
    "port alone": "https://:443/logout",
    "other scheme": "ftp://wiki.example/logout",
    "script": "javascript:alert(1)",
    "file": "file:///etc/passwd",
    "fragment": "https://wiki.example/logout#here",
    "empty fragment": "https://wiki.example/logout#",
    "userinfo": "https://ada@wiki.example/logout",
    "userinfo with a password": "https://ada:secret@wiki.example/logout",
    "empty userinfo": "https://@wiki.example/logout",
    "space": "https://wiki.example/log out",
    "line break": "https://wiki.example/logout\r\nX-Evil: 1",
    "backslash": "https://wiki.example\\@10.0.0.1/",
    "not ASCII": "https://bücher.example/logout",
    "full-width digits": "https://\uff11\uff10.0.0.1/logout",
    "port 0": "https://wiki.example:0/logout",
    "port too high": "https://wiki.example:65536/logout",
    "port not a number": "https://wiki.example:https/logout",
    "signed port": "https://wiki.example:+443/logout",
    "too long": f"https://wiki.example/{'a' * MAX_URI}",
    "http": "http://wiki.example/logout",
    "percent-encoded host": "https://wiki%2eexample/logout",
    "host with other characters": "https://wiki!.example/logout",
    "open bracket": "https://[::1/logout",
    "behind the bracket": "https://[::1]wiki.example/logout",
    "IPvFuture": "https://[v1.fe]/logout",
    "public IPv4 literal": "https://93.184.215.14/logout",
    "private IPv4 literal": "https://10.0.0.1/logout",
    "IPv4 literal with a dot behind it": "https://10.0.0.1./logout",
    "public IPv6 literal": "https://[2606:4700::1111]/logout",
    "loopback IPv6 literal": "https://[::1]/logout",
    "IPv4-mapped literal": "https://[::ffff:10.0.0.1]/logout",
    "IPv6 literal with a zone": "https://[fe80::1%25eth0]/logout",
}
EVERY_NETWORK = tuple(str(row.network) for row in CLOSED if row.openable)
NUMERIC_HOSTS = {
    "one number": "2130706433",
    "one number with a dot behind it": "2130706433.",
    "short form": "127.1",
    "three parts": "127.0.1",
    "hexadecimal": "0x7f000001",
    "capital hexadecimal": "0X7F000001",
    "hexadecimal part": "0x7f.0.0.1",
    "hexadecimal last part": "127.0.0.0x1",
    "bare 0x": "127.0.0.0x",
    "octal": "017700000001",
    "octal part": "0177.0.0.1",
    "leading zeros": "127.000.000.001",
    "a name before it": "wiki.1",
    "a dot behind it": "127.1.",
    "five parts": "1.2.3.4.5",
    "part out of range": "256.0.0.1",
}


@pytest.mark.parametrize("uri", ACCEPTED_URIS.values(), ids=ACCEPTED_URIS)
def test_an_https_uri_of_a_host_is_stored_as_it_is(uri: str) -> None:
    client = replace(WIKI, backchannel_logout_uri=uri)

    assert _register(client) == client


@pytest.mark.parametrize("uri", REFUSED_URIS.values(), ids=REFUSED_URIS)
def test_any_other_uri_is_refused(uri: str) -> None:
    with pytest.raises(RegistrationInvalidError, match="backchannel_logout_uri"):
        _register(replace(WIKI, backchannel_logout_uri=uri), permit_private_networks=True)


@pytest.mark.parametrize("name", [name for name in REFUSED_URIS if "userinfo" in name])
def test_whoever_registers_a_password_in_a_uri_is_told_what_is_wrong(name: str) -> None:
    with pytest.raises(RegistrationInvalidError, match="must not have userinfo"):
        _register(replace(WIKI, backchannel_logout_uri=REFUSED_URIS[name]))


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("https://büro.example/logout", "xn--bro-hoa.example"),
        ("https://Straße.example/", "xn--strae-oqa.example"),
        ("https://ada:pass@büro.example:8443", "xn--bro-hoa.example"),
        ("https://wiki.example/büro", "percent-encoded"),
        ("https://wiki.example/a b", "%20"),
        ("https://{tenant}.wiki.example/", "braces"),
        ("https://wiki.example/{tenant}", "%7B"),
        ("https:\\\\wiki.example\\logout", "backslash"),
        ("https://wiki.example/#logout", "fragment"),
        ("https://ada@wiki.example/", "userinfo"),
        ("https://wiki.example/\ud800", "ud800"),
        ("https://wiki.example/" + "a" * 2048, "2048"),
        ("wiki.example/logout", "absolute"),
    ],
)
def test_whoever_registers_what_is_no_uri_is_told_what_to_write(uri: str, advice: str) -> None:
    with pytest.raises(RegistrationInvalidError) as refusal:
        _register(replace(WIKI, backchannel_logout_uri=uri))

    assert str(refusal.value).startswith("backchannel_logout_uri must")
    assert advice in str(refusal.value)
    assert "pass" not in str(refusal.value)


@pytest.mark.parametrize("host", NUMERIC_HOSTS.values(), ids=NUMERIC_HOSTS)
def test_an_ipv4_address_in_disguise_is_refused_even_where_all_networks_are_allowed(host: str) -> None:
    client = replace(WIKI, backchannel_logout_uri=f"https://{host}/logout", allowed_networks=EVERY_NETWORK)

    with pytest.raises(RegistrationInvalidError, match="numeric or short form"):
        _register(client, permit_private_networks=True)


def test_a_client_without_a_uri_takes_no_logout_tokens_and_may_be_stored() -> None:
    client = Client("wiki")

    assert _register(client) == client


@pytest.mark.parametrize(
    "uri",
    ["https://10.1.2.3/logout", "http://10.1.2.3:8080/logout", "https://[fd12::1]/logout", "http://wiki.internal/logout"],
)
def test_a_private_network_is_reached_where_client_and_deployment_both_name_it(uri: str) -> None:
    client = replace(WIKI, backchannel_logout_uri=uri, allowed_networks=("10.1.0.0/16", "fd12::/64"))

    assert _register(client, permit_private_networks=True) == client


@pytest.mark.parametrize(
    "uri", ["https://10.2.0.1/", "https://[fd13::1]/", "https://93.184.215.14/", "https://[::ffff:10.1.0.1]/"]
)
def test_an_address_outside_of_the_allowed_networks_is_refused(uri: str) -> None:
    client = replace(WIKI, backchannel_logout_uri=uri, allowed_networks=("10.1.0.0/16", "fd12::/64"))

    with pytest.raises(RegistrationInvalidError, match="must name a host"):
        _register(client, permit_private_networks=True)


def test_allowed_networks_are_refused_where_the_deployment_does_not_permit_them() -> None:
    with pytest.raises(RegistrationInvalidError, match="does not permit"):
        _register(replace(WIKI, allowed_networks=("10.1.0.0/16",)))


@pytest.mark.parametrize("network", ["10.1.2.3/16", "10.1.0.0/33", "10.1", "wiki.internal", "", " 10.1.0.0/16", "fd12::1/64"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(RegistrationInvalidError, match="CIDR"):
        _register(replace(WIKI, allowed_networks=(network,)), permit_private_networks=True)


@pytest.mark.parametrize(
    "network",
    [
        *("0.0.0.0/0", "::/0", "8.0.0.0/8", "10.0.0.0/7", "126.0.0.0/7", "2000::/3", "2606:4700::/32"),
        *("0.0.0.0/8", "169.254.0.0/16", "::/127", "::ffff:10.0.0.0/104", "fd00:ec2::254/128"),
    ],
)
def test_a_network_with_an_address_that_is_not_private_is_refused(network: str) -> None:
    with pytest.raises(RegistrationInvalidError, match="private"):
        _register(replace(WIKI, allowed_networks=(network,)), permit_private_networks=True)


@pytest.mark.parametrize("network", EVERY_NETWORK)
def test_a_private_network_may_be_opened(network: str) -> None:
    assert _register(replace(WIKI, allowed_networks=(network,)), permit_private_networks=True)


@pytest.mark.parametrize("network", ["127.0.0.0/8", "127.0.0.1/32", "::1/128"])
def test_loopback_is_opened_in_a_local_environment_alone(network: str) -> None:
    client = replace(WIKI, allowed_networks=(network,))

    assert _register(client, permit_private_networks=True, permit_loopback=True)
    with pytest.raises(RegistrationInvalidError, match="loopback"):
        _register(client, permit_private_networks=True, permit_loopback=False)


def test_the_number_of_allowed_networks_is_bounded() -> None:
    networks = tuple(f"10.{number}.0.0/16" for number in range(MAX_NETWORKS + 1))

    assert _register(replace(WIKI, allowed_networks=networks[1:]), permit_private_networks=True)
    with pytest.raises(RegistrationInvalidError, match="at most"):
        _register(replace(WIKI, allowed_networks=networks), permit_private_networks=True)


def test_http_is_for_confidential_clients_only() -> None:
    client = replace(WIKI, backchannel_logout_uri="http://wiki.internal/", allowed_networks=("10.1.0.0/16",))

    assert _register(client, permit_private_networks=True)
    with pytest.raises(RegistrationInvalidError, match="public client"):
        _register(replace(client, token_endpoint_auth_method="none"), permit_private_networks=True)


def test_a_public_client_with_https_may_be_stored() -> None:
    assert _register(replace(WIKI, token_endpoint_auth_method="none"))


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_an_algorithm_that_kms_signs_may_be_asked_for(alg: str) -> None:
    assert _register(replace(WIKI, id_token_signed_response_alg=alg))


@pytest.mark.parametrize("alg", ["none", "HS256", "RS1", "rs256", "Ed448", ""])
def test_any_other_algorithm_is_refused(alg: str) -> None:
    with pytest.raises(RegistrationInvalidError, match="id_token_signed_response_alg"):
        _register(replace(WIKI, id_token_signed_response_alg=alg))


@pytest.mark.parametrize(
    "client", [replace(WIKI, subject="sub_only"), replace(WIKI, backchannel_logout_session_required=True)], ids=["sub", "sid"]
)
def test_a_client_may_want_tokens_without_sid_or_insist_on_it(client: Client) -> None:
    assert _register(client) == client


def test_a_client_cannot_insist_on_sid_and_want_tokens_without_it() -> None:
    with pytest.raises(RegistrationInvalidError, match="sub_only"):
        _register(replace(WIKI, subject="sub_only", backchannel_logout_session_required=True))


def test_a_client_that_is_sent_the_provider_s_tokens_alone_cannot_have_them_encrypted() -> None:
    with pytest.raises(RegistrationInvalidError, match="own_tokens"):
        _register(replace(WIKI, own_tokens=False, id_token_encrypted_response_alg="RSA-OAEP"))


def test_a_client_may_bring_the_certificates_of_its_own_pki() -> None:
    assert _register(replace(WIKI, ca_bundle=trustme.CA().cert_pem.bytes().decode()))


@pytest.mark.parametrize(
    "pem",
    ["", "none", "é", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a" * 100_000],
    ids=["empty", "no PEM", "not ASCII", "no certificate", "too long"],
)
def test_what_holds_no_certificate_is_refused_rather_than_trusted_for_nothing(pem: str) -> None:
    with pytest.raises(RegistrationInvalidError, match="ca_bundle"):
        _register(replace(WIKI, ca_bundle=pem))


@pytest.mark.parametrize("label", ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PUBLIC KEY", "X509 CRL"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_ca_bundle_with_anything_but_certificates_is_refused_and_not_repeated(label: str, is_first: bool) -> None:  # noqa: FBT001
    pem = trustme.CA().cert_pem.bytes().decode()
    other = f"-----BEGIN {label}-----\nc2VjcmV0\n-----END {label}-----\n"

    with pytest.raises(RegistrationInvalidError, match="private key") as refusal:
        _register(replace(WIKI, ca_bundle=other + pem if is_first else pem + other))

    assert "c2VjcmV0" not in str(refusal.value)


@pytest.mark.parametrize("extra", ["certificate", "key", "octet"])
def test_a_certificate_has_nothing_behind_it_in_its_block(extra: str) -> None:
    ca = trustme.CA()
    certificate, key = (ssl.PEM_cert_to_DER_cert(ca.cert_pem.bytes().decode()), ca.private_key_pem.bytes())
    behind = {
        "certificate": certificate,
        "key": load_pem_private_key(key, None).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "octet": b"\0",
    }
    pem = ssl.DER_cert_to_PEM_cert(certificate + behind[extra])

    with pytest.raises(RegistrationInvalidError, match="ca_bundle"):
        _register(replace(WIKI, ca_bundle=trustme.CA().cert_pem.bytes().decode() + pem))


def test_a_ca_bundle_may_have_several_certificates() -> None:
    pem = "".join(trustme.CA().cert_pem.bytes().decode() for _ in range(3))

    assert _register(replace(WIKI, ca_bundle=pem.replace("\n", "\r\n"))).ca_bundle


def test_a_ca_bundle_may_be_as_long_as_the_limit_and_no_longer() -> None:
    pem = trustme.CA().cert_pem.bytes().decode()
    longest = pem + "\n" * (MAX_CA_BUNDLE - len(pem))

    assert _register(replace(WIKI, ca_bundle=longest)).ca_bundle == longest
    with pytest.raises(RegistrationInvalidError, match="ca_bundle"):
        _register(replace(WIKI, ca_bundle=longest + "\n"))


@pytest.mark.parametrize(
    ("client", "needs_sid"),
    [
        (WIKI, False),
        (replace(WIKI, subject="sub_only"), False),
        (replace(WIKI, subject="sid_only"), True),
        (replace(WIKI, backchannel_logout_session_required=True), True),
    ],
)
def test_sid_is_needed_by_those_who_insist_and_by_those_who_get_nothing_else(client: Client, needs_sid: bool) -> None:  # noqa: FBT001 - a row of the table
    assert client.needs_sid is needs_sid


@given(
    st.sampled_from(["https://", "http://", "HTTPS://", "//", "https:"]),
    st.text("abz019.-_:[]%!@$~,;=", max_size=24)
    | st.sampled_from(["wiki.example", "[::1]", "[v1.fe]", "10.1.2.3", "[fe80::1%251]", "a..b", "[::ffff:10.1.0.1]"]),
    st.text("/?#abz%&=.@:[]", max_size=12).flatmap(lambda text: st.sampled_from(["", f"/{text}", f"?{text}"])),
)
def test_whatever_may_be_registered_egress_can_dial(scheme: str, authority: str, rest: str) -> None:
    assume(scheme != "https:" or authority or not rest.startswith("//"))  # there the authority would be in the rest
    client = replace(WIKI, backchannel_logout_uri=f"{scheme}{authority}{rest}", allowed_networks=EVERY_NETWORK)

    try:
        _register(client, permit_private_networks=True)
    except RegistrationInvalidError:
        return

    _, host, _, target = egress._parse(client.backchannel_logout_uri or "")
    assert host in authority.lower()
    assert target in {rest, f"/{rest}"}


@pytest.mark.parametrize(
    "issuer",
    ["https://idp.example", "https://idp.example/", "https://idp.example:8443/realms/customer", "https://login.example/t/v2.0"],
)
def test_an_https_url_is_an_issuer_and_stored_to_the_letter(issuer: str) -> None:
    assert check_issuer(issuer, permit_private_networks=False) == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "idp.example",
        "https://",
        "https://idp.example?",
        "https://idp.example/?tenant=1",
        "https://idp.example/#",
        "https://ada@idp.example/",
        "https://idp.example:0/",
        "https://idp .example/",
        "http://idp.example/",
        "http://10.0.0.1/",
        "http://localhost.example/",
        "http://127.0.0.1.example/",
        "urn:idp",
        "https://idp.example/" + "%" * 491,
    ],
)
def test_any_other_issuer_is_refused(issuer: str) -> None:
    with pytest.raises(RegistrationInvalidError, match="issuer"):
        check_issuer(issuer, permit_private_networks=True)


@pytest.mark.parametrize("issuer", ["http://localhost:8080", "http://127.0.0.1:8080/realms/customer", "http://[::1]:8080/"])
def test_an_http_issuer_on_loopback_is_for_deployments_that_permit_private_networks(issuer: str) -> None:
    assert check_issuer(issuer, permit_private_networks=True) == issuer
    with pytest.raises(RegistrationInvalidError, match="https"):
        check_issuer(issuer, permit_private_networks=False)


def test_an_issuer_may_be_as_long_in_a_key_as_the_limit_and_no_longer() -> None:
    escaped = len("https://idp.example/") + 3
    longest = f"https://idp.example/%{'a' * (MAX_ISSUER_ESCAPED - escaped)}"

    assert check_issuer(longest, permit_private_networks=False) == longest
    with pytest.raises(RegistrationInvalidError, match="issuer"):
        check_issuer(longest + "a", permit_private_networks=False)


def _register(client: Client, *, permit_private_networks: bool = False, permit_loopback: bool = True) -> Client:
    return register(client, permit_private_networks=permit_private_networks, permit_loopback=permit_loopback)
