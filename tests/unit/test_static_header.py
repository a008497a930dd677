import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks.request import Proven, Request
from backchannel.webhooks.static_header import check_secret, verify
from tests.unit.fakes import trust

PLAIN = "a-static-secret-of-32-characters"
BEARER = f"Bearer {PLAIN}"


@pytest.mark.parametrize("secret", [PLAIN, BEARER, f"Basic {PLAIN}"])
@pytest.mark.parametrize("others", [(), ("another-static-secret-of-many-ch",)])
def test_the_whole_header_proves_the_sender(secret: str, others: tuple[str, ...]) -> None:
    request = Request(b"{}", {"authorization": secret})

    assert verify(request, trust(*others, secret), 0) == Proven(b"{}")
    assert verify(request, trust(secret, *others), 0) == Proven(b"{}")


@pytest.mark.parametrize(
    "header",
    [
        *("", PLAIN, PLAIN.upper(), f"bearer {PLAIN}", f"Bearer  {PLAIN}", f"{BEARER} ", f" {BEARER}", f"{BEARER}x", BEARER[:-1]),
        *(f"{BEARER}, {BEARER}", "Bearer é", "Bearer \ud800"),
    ],
)
def test_any_other_header_proves_nothing(header: str) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"{}", {"authorization": header}), trust(BEARER), 0)


@pytest.mark.parametrize("secrets", [(), ("another-static-secret-of-many-ch",)])
@pytest.mark.parametrize("headers", [{}, {"authorization": PLAIN}, {"x-authorization": PLAIN}])
def test_without_the_secret_there_is_no_proof(secrets: tuple[str, ...], headers: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"{}", headers), trust(*secrets), 0)


@given(st.text(st.characters(exclude_categories=[])))
def test_garbage_is_refused_and_nothing_worse(header: str) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"", {"authorization": header}), trust(PLAIN), 0)


@pytest.mark.parametrize("secret", ["x" * 24, "Bearer " + "x" * 24, "ApiKey " + "~" * 900])
def test_a_secret_is_whatever_a_header_can_carry(secret: str) -> None:
    check_secret(secret)


@pytest.mark.parametrize(
    "secret",
    [
        *("", "x" * 23, "Bearer " + "x" * 23, " " + "x" * 24, "x" * 24 + " ", "Bearer  " + "x" * 24, "Bearer x " + "x" * 24),
        *("x" * 24 + "é", "x" * 24 + "\n", "x" * 24 + "\n" + "x" * 24, "y" * 33 + " " + "x" * 24),
    ],
)
def test_a_secret_that_is_short_or_fits_no_header_is_refused(secret: str) -> None:
    with pytest.raises(RegistrationInvalidError):
        check_secret(secret)
