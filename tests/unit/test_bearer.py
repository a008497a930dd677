import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import RegistrationInvalidError, SignatureInvalidError
from backchannel.webhooks.bearer import check_secret, verify
from backchannel.webhooks.request import Request

SECRET = "a-static-secret-of-32-characters"
OTHER = "another-static-secret-of-many-ch"


@pytest.mark.parametrize("header", [f"Bearer {SECRET}", f"bearer {SECRET}", f"BEARER  {SECRET}"])
@pytest.mark.parametrize("secrets", [[SECRET], [OTHER, SECRET], [SECRET, OTHER]])
def test_the_secret_of_the_source_proves_its_sender(header: str, secrets: list[str]) -> None:
    verify(Request(b"{}", {"authorization": header}), secrets)


@pytest.mark.parametrize(
    "header",
    [
        *("", SECRET, "Bearer", "Bearer ", f"Basic {SECRET}", f"Bearer{SECRET}"),
        *(f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Bearer {SECRET.upper()}", f" Bearer {SECRET}"),
        *(f"Bearer {SECRET}, Bearer {SECRET}", f"Bearer {SECRET} ", "Bearer é", "Bearer \ud800"),
    ],
)
def test_any_other_header_proves_nothing(header: str) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"{}", {"authorization": header}), [SECRET])


@pytest.mark.parametrize("secrets", [[], [OTHER]])
def test_without_the_secret_there_is_no_proof(secrets: list[str]) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"{}", {"authorization": f"Bearer {SECRET}"}), secrets)
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"{}", {}), secrets)


@given(st.text(st.characters(exclude_categories=[])))
def test_garbage_is_refused_and_nothing_worse(header: str) -> None:
    with pytest.raises(SignatureInvalidError):
        verify(Request(b"", {"authorization": header}), [SECRET])


@pytest.mark.parametrize("secret", ["", "x" * 23, "a secret with some spaces in it", "x" * 24 + "é", "x" * 24 + "\n"])
def test_a_secret_that_is_short_or_fits_no_header_is_refused(secret: str) -> None:
    with pytest.raises(RegistrationInvalidError):
        check_secret(secret)
