"""What cli/README.md promises is what the command does."""

import re

from backchannel_cli import errors
from backchannel_cli.__main__ import FLAGS, VALUES
from tests.support.command import Command
from tests.unit.cli.conftest import SOURCES

README = (SOURCES.parent / "README.md").read_text()


def test_every_exit_code_is_in_the_readme() -> None:
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.CommandError)]

    assert named == {0} | {each.exit_code for each in kinds}


def test_every_option_of_all_commands_is_in_the_readme() -> None:
    for option in FLAGS | VALUES:
        assert option in README, option


def test_options_of_all_commands_may_stand_behind_one(command: Command) -> None:
    options = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", command("--help").stdout, re.MULTILINE))

    assert options - {"--version", "--help", "--install-completion", "--show-completion"} == FLAGS | VALUES
