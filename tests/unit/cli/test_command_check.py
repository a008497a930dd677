"""`backchannel check` against relying parties on loopback: careful ones, careless ones, and some that cannot be reached."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from backchannel_cli.receiver_check.case import Expectation
from backchannel_cli.receiver_check.cases import CASES
from backchannel_cli.receiver_check.keys import KINDS
from tests.support.command import Command, Ended
from tests.support.receiver import Receiver, free_port
from tests.unit.cli.receivers import keys

BAD = [case.name for case in CASES if case.expects is Expectation.REFUSE]
ALL = {case.name for case in CASES}
REQUIRED = {case.name for case in CASES if case.is_required}

NAMED: Mapping[str, set[str]] = {
    "signature": {"signature-removed", "claims-altered", "signed-by-a-stranger"},
    "unknown-kid": {"unknown-kid", "key-in-header", "key-by-address"},
    "other-algorithm": {"other-algorithm"},
}
"""What a check that is left out lets through, if that is more than the case of its name."""

type Stdin = Callable[[str], None]


@pytest.fixture(autouse=True)
def keys_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel_cli.receiver_check.start.ThrowAwayKeys.make", keys)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def rp(port: int) -> Iterator[Receiver]:
    with Receiver(f"http://127.0.0.1:{port}") as receiver:
        yield receiver


@pytest.fixture
def check(command: Command, rp: Receiver, port: int) -> Command:
    def check(*arguments: str, path: str = "/backchannel-logout") -> Ended:
        return command("check", rp.url + path, "--listen", f"127.0.0.1:{port}", *arguments)

    return check


class LateStdin:
    """Somebody who logs in when he is asked for the cookie."""

    def __init__(self, log_in: Callable[[], str]) -> None:
        self._log_in = log_in

    def isatty(self) -> bool:
        return False

    def readline(self, _: int = -1) -> str:
        return self._log_in() + "\n"


def verdicts(ended: Ended) -> dict[str, str]:
    return {case["case"]: case["verdict"] for case in ended.json["cases"]}


def with_verdict(verdict: str, ended: Ended) -> set[str]:
    return {name for name, found in verdicts(ended).items() if found == verdict}


@pytest.mark.parametrize("alg", KINDS)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_a_relying_party_that_checks_everything_passes(check: Command, rp: Receiver, alg: str) -> None:
    rp.alg = alg

    ended = check("--json", "--alg", alg)

    assert ended.code == 0
    assert ended.json["outcome"] == "as it should be"
    assert set(verdicts(ended).values()) == {"ok"}
    assert len(verdicts(ended)) == len(CASES)


@pytest.mark.parametrize(
    "careless", ["signature", *[name for name in BAD if name not in {"claims-altered", "signed-by-a-stranger"}]]
)
def test_each_carelessness_is_named_and_nothing_else(check: Command, rp: Receiver, careless: str) -> None:
    rp.careless = frozenset({careless})

    ended = check("--json")

    expected = NAMED.get(careless, {careless})
    assert with_verdict("careless", ended) == expected & REQUIRED
    assert with_verdict("lenient", ended) == expected - REQUIRED
    assert ended.code == (5 if expected & REQUIRED else 0)
    words = {case["case"]: case for case in ended.json["cases"]}
    assert all(words[name]["meaning"] and words[name]["words"] for name in expected)


def test_a_relying_party_that_looks_at_nothing_is_careless_of_everything(check: Command, rp: Receiver) -> None:
    rp.careless = frozenset([*BAD, "signature"])

    ended = check()

    assert ended.code == 5
    assert "Every bad token passes" in ended.stdout
    assert all(f"careless: {name}" in ended.stdout or f"lenient: {name}" in ended.stdout for name in BAD)


@pytest.mark.parametrize(
    ("refused", "case", "verdict"),
    [
        ("sid-alone", "good-sid-alone", "particular"),
        ("sub-alone", "good-sub-alone", "particular"),
        ("no-typ", "good-without-typ", "particular"),
        ("typ-jwt", "good-typ-jwt", "particular"),
        ("aud-list", "good-aud-list", "refuses good"),
        ("unknown-claim", "good-unknown-claim", "refuses good"),
        ("unknown-parameter", "good-unknown-parameter", "refuses good"),
    ],
)
def test_a_good_token_that_is_refused_is_named(check: Command, rp: Receiver, refused: str, case: str, verdict: str) -> None:
    rp.refuses = frozenset({refused})

    ended = check("--json")

    assert with_verdict(verdict, ended) == {case}
    assert ended.code == (5 if verdict == "refuses good" else 0)


def test_what_a_refused_good_token_is_told_stands_beside_our_claims(check: Command, rp: Receiver) -> None:
    rp.client_id = "another"

    ended = check()

    assert ended.code == 5
    assert "It says: invalid_request: other-aud" in ended.stdout
    assert '"aud": "receiver-check"' in ended.stdout
    assert "outcome: refuses good" in ended.stdout


def test_refusals_prove_nothing_if_the_good_token_is_refused_as_well(check: Command, rp: Receiver) -> None:
    rp.client_id = "another"

    ended = check("--json")

    assert with_verdict("unproven", ended) == ALL - {"good"}


def test_refusals_prove_nothing_if_a_logged_out_user_is_refused(check: Command, rp: Receiver) -> None:
    rp.refuses = frozenset({"nobody-there"})
    rp.log_in("user-1", "session")

    ended = check("--json", "--sub", "user-1", "--sid", "session")

    assert verdicts(ended)["good"] == "ok"
    assert verdicts(ended)["good-logged-out-already"] == "particular"
    assert with_verdict("unproven", ended) == ALL - {"good", "good-logged-out-already"}
    assert ended.json["outcome"] == "unproven"
    assert ended.code == 5


def test_a_key_that_is_fetched_from_where_a_token_says_is_noticed(check: Command, rp: Receiver) -> None:
    rp.careless = frozenset({"key-by-address"})

    assert "anybody can make it send requests" in " ".join(check().stdout.split())


def test_a_relying_party_that_crashes_at_a_token_was_not_checked_in_full(check: Command, rp: Receiver) -> None:
    rp.careless = frozenset({"crash"})

    ended = check("--json")

    assert with_verdict("no answer", ended) == {"other-typ"}
    assert ended.json["outcome"] == "incomplete"
    assert ended.code == 1


def test_a_relying_party_with_another_issuer_is_told_that_it_fetched_no_keys(check: Command, rp: Receiver) -> None:
    with Receiver("http://127.0.0.1:1") as other:
        rp.take = other.take  # type: ignore[method-assign]
        other._keys = [{"kid": "old", "alg": "RS256"}]

        ended = check()

    assert ended.code == 5
    assert "The relying party never fetched the issuer's keys" in ended.stdout


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (302, {"Location": "https://rp.example/login"}, "A login wall"),
        (302, {"Location": "https://rp.example/login"}, "It leads to https://rp.example/login"),
        (301, {"Location": "https://rp.example/"}, "Give the final URL"),
        (401, {}, "A filter before the endpoint wants credentials"),
        (403, {}, "CSRF"),
        (404, {}, "There is nothing at this path"),
        (405, {}, "takes no POST"),
        (415, {}, "The form is not parsed"),
        (429, {}, "limits the rate"),
        (500, {}, "fails itself"),
        (418, {}, "No specification"),
    ],
)
def test_a_wall_before_the_endpoint_is_named(
    check: Command, rp: Receiver, status: int, headers: dict[str, str], words: str
) -> None:
    rp.refuses = frozenset({"everything"})
    rp.status_of_refusal = status
    rp.headers |= headers

    ended = check()

    assert ended.code == 5
    assert words in " ".join(ended.stdout.split())


def test_a_refusal_with_500_is_remarked_and_no_failure(check: Command, rp: Receiver) -> None:
    rp.status_of_refusal = 500

    ended = check("--json")

    assert ended.code == 0
    assert {case["meaning"][:17] for case in ended.json["cases"] if case["token"] == "bad"} == {"Refused with 500;"}


def test_a_success_that_is_not_200_or_204_is_remarked(check: Command, rp: Receiver) -> None:
    rp.success = 202

    ended = check()

    assert ended.code == 0
    assert "Success is 200 or 204, not 202" in ended.stdout


def test_an_answer_that_may_be_stored_is_remarked(check: Command, rp: Receiver) -> None:
    del rp.headers["Cache-Control"]

    assert "Cache-Control: no-store" in check().stdout


@pytest.mark.parametrize("is_json", [False, True])
def test_words_of_the_relying_party_move_no_cursor(check: Command, rp: Receiver, *, is_json: bool) -> None:
    rp.client_id = "another"
    rp.says = lambda _: json.dumps({"error": "a\x1b[2J\x9b1m\u202e\nb", "error_description": "\x07ä" + "x" * 10_000}).encode()

    ended = check(*["--json"] * is_json)

    assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(ended.stdout + ended.stderr)
    assert "\\x1b[2J" in (ended.json["cases"][0]["says"] if is_json else ended.stdout)
    assert all(len(case["says"]) <= 200 for case in ended.json["cases"]) if is_json else True


def test_a_page_of_html_is_shown_as_its_text(check: Command, rp: Receiver) -> None:
    rp.client_id = "another"
    rp.headers["Content-Type"] = "text/html"
    rp.says = lambda _: b"<style>p{}</style><p>Please &lt;log&gt; in<br>first</p>"

    assert "It says: Please <log> in first" in check().stdout


# --- the login ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def probed(check: Command, rp: Receiver, monkeypatch: pytest.MonkeyPatch) -> Command:
    def probed(*arguments: str, cookie: Callable[[], str] = lambda: rp.log_in("user-1", "session")) -> Ended:
        monkeypatch.setattr(sys, "stdin", LateStdin(cookie))
        login = ("--sub", "user-1", "--sid", "session", "--probe", f"{rp.url}/profile", "--cookie-stdin")
        return check(*login, *arguments)

    return probed


def test_a_login_is_shown_to_have_ended(probed: Command) -> None:
    ended = probed("--json")

    assert ended.code == 0
    assert ended.json["login"] == {"anonymous": 401, "before": 200, "after": 401, "end": "ended by the good token"}


def test_accepted_is_not_logged_out(probed: Command, rp: Receiver) -> None:
    rp.careless = frozenset({"does-nothing"})

    ended = probed("--json")

    assert ended.code == 5
    assert ended.json["outcome"] == "login did not end as it should"
    assert ended.json["login"]["end"] == "not ended by the good token"


def test_another_users_login_lives_on(probed: Command, rp: Receiver) -> None:
    other = rp.log_in("user-2", "another session")

    probed()

    assert other in rp.sessions


def test_a_probe_that_tells_nothing_stops_the_check_before_any_token(probed: Command, rp: Receiver) -> None:
    ended = probed(cookie=lambda: "session=made-up")

    assert ended.code == 2
    assert "No token was sent" in ended.stderr
    assert rp.forms == []


@pytest.mark.parametrize("cookie", ["", "no cookie", "a=b\x1b[2J", "ä=b", "a=" + "b" * 20_000])
def test_what_is_no_cookie_is_refused_and_not_shown(probed: Command, rp: Receiver, cookie: str) -> None:
    ended = probed(cookie=lambda: cookie)

    assert ended.code == 2
    assert "no cookie" in ended.stderr
    assert "bbb" not in ended.stderr
    assert rp.forms == []


def test_the_cookie_is_shown_nowhere(probed: Command, rp: Receiver, tmp_path: Path) -> None:
    ended = probed(
        "--junit", str(tmp_path / "report.xml"), cookie=lambda: rp.log_in("user-1", "session") + "; a=secret-of-a-user"
    )

    shown = ended.stdout + ended.stderr + (tmp_path / "report.xml").read_text()
    assert "secret-of-a-user" not in shown


# --- reports --------------------------------------------------------------------------------------------------------------


def test_the_junit_report_fails_where_the_relying_party_does(check: Command, rp: Receiver, tmp_path: Path) -> None:
    rp.careless = frozenset({"no-iss", "replayed"})
    rp.refuses = frozenset({"aud-list"})

    check("--junit", str(tmp_path / "report.xml"))

    suite = ET.parse(tmp_path / "report.xml").getroot()  # noqa: S314 - our own
    failed = {test.get("name") for test in suite if test.find("failure") is not None}
    assert failed == {"no-iss", "good-aud-list"}
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": str(len(CASES)),
        "failures": "2",
        "errors": "0",
        "skipped": "0",
    }


def test_the_junit_report_is_xml_whatever_the_relying_party_says(check: Command, rp: Receiver, tmp_path: Path) -> None:
    rp.client_id = "another"
    rp.says = lambda _: b'{"error": "\\u0000\\ud800\\ufffe]]><&"}'

    check("--junit", str(tmp_path / "report.xml"))

    assert ET.parse(tmp_path / "report.xml").getroot().tag == "testsuite"  # noqa: S314


def test_the_junit_report_tells_whether_the_login_ended(probed: Command, rp: Receiver, tmp_path: Path) -> None:
    rp.careless = frozenset({"does-nothing"})

    probed("--junit", str(tmp_path / "report.xml"))

    suite = ET.parse(tmp_path / "report.xml").getroot()  # noqa: S314
    assert [test.get("name") for test in suite if test.find("failure") is not None] == ["login-ended"]


def test_the_json_document_has_these_members(check: Command) -> None:
    document: dict[str, Any] = check("--json").json

    top = "outcome relying_party issuer client_id alg good_token fetched login general cases"
    case = "case token required status verdict meaning says section words milliseconds"
    assert list(document) == top.split()
    assert list(document["cases"][0]) == case.split()
    assert document["good_token"].keys() == {"header", "claims"}
    assert document["fetched"] == {"/.well-known/openid-configuration": 1, "/jwks.json": 1}


# --- usage ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "rp.example",
        "ftp://rp.example/",
        "http://",
        "http://rp.example/#x",
        "http://user@rp.example/",
        "http://rp.example:x/",
        "http://[/",
    ],
)
def test_what_is_no_url_of_a_relying_party_is_a_usage_error(command: Command, url: str) -> None:
    assert command("check", url).code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--listen", "9400"],
        ["--listen", "127.0.0.1:99999"],
        ["--listen", "192.0.2.1:9400"],
        ["--listen", "0.0.0.0:0"],
        ["--issuer", "https://issuer.example/path"],
        ["--alg", "none"],
        ["--cookie-stdin"],
        ["--probe", "http://127.0.0.1:9/"],
        ["--probe", "http://rp.example/", "--cookie-stdin"],
        ["--timeout", "0"],
    ],
)
def test_an_option_that_makes_no_sense_is_a_usage_error(command: Command, arguments: list[str]) -> None:
    ended = command("check", "http://127.0.0.1:9/", *arguments)

    assert ended.code == 2
    assert ended.stdout == ""


def test_no_token_is_made_in_the_name_of_another_issuer(check: Command, rp: Receiver) -> None:
    ended = check("--issuer", rp.url)

    assert ended.code == 2
    assert "is not this check's issuer" in ended.stderr
    assert rp.forms == []


def test_an_issuer_that_leads_here_is_the_checks_own(check: Command, rp: Receiver, port: int) -> None:
    rp.issuer = f"http://localhost:{port}"

    ended = check("--issuer", f"http://localhost:{port}", "--json")

    assert ended.code == 0
    assert ended.json["issuer"] == f"http://localhost:{port}"


def test_nobody_there_is_a_failure_that_says_what_to_do(command: Command, port: int) -> None:
    ended = command("check", f"http://127.0.0.1:{port}/", "--listen", "127.0.0.1:0")

    assert ended.code == 1
    assert "Start the relying party" in ended.stderr


def test_a_relying_party_that_starts_late_is_waited_for(check: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([False, False, True])
    monkeypatch.setattr("backchannel_cli.receiver_check.start._listens", lambda _: next(looks))

    ended = check("--wait", "30")

    assert ended.code == 0
    assert "Waiting for the relying party, 30 s at most." in ended.stderr


def test_a_port_that_is_taken_is_a_usage_error(command: Command, rp: Receiver) -> None:
    ended = command("check", rp.url, "--listen", rp.url.removeprefix("http://"))

    assert ended.code == 2
    assert "--listen HOST:PORT" in ended.stderr


def test_a_report_that_cannot_be_written_is_a_failure(check: Command, tmp_path: Path) -> None:
    ended = check("--junit", str(tmp_path / "missing" / "report.xml"))

    assert ended.code == 1
    assert "cannot be written" in ended.stderr


def test_the_registered_query_is_kept(check: Command) -> None:
    assert check(path="/redirect_uri?logout=backchannel").code == 0
