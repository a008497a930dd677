"""How documents are laid out for the site: links as they are there, lists as Python-Markdown reads them."""

import pytest

from local import site


@pytest.mark.parametrize(
    ("name", "link", "there"),
    [
        ("README.md", "[keys](docs/keys.md#rotation)", "[keys](keys.md#rotation)"),
        ("docs/keys.md", "[read me](../README.md)", "[read me](index.md)"),
        ("docs/providers/relay.md", "[how](../../CONTRIBUTING.md#the-map)", "[how](../contributing.md#the-map)"),
        ("docs/aws.md", "[settings](../samconfig.toml)", "settings"),
        ("docs/aws.md", "![a picture](pictures/event.svg)", "![a picture](pictures/event.svg)"),
        (
            "docs/aws.md",
            "[there](https://openid.net/specs) and [here](#here)",
            "[there](https://openid.net/specs) and [here](#here)",
        ),
        ("docs/aws.md", "```\n[as it is](../README.md)\n```\n", "```\n[as it is](../README.md)\n```\n"),
    ],
)
def test_a_link_leads_to_where_its_target_is_on_the_site(name: str, link: str, there: str) -> None:
    assert site.relinked(link, name) == there


@pytest.mark.parametrize(
    ("written", "laid_out"),
    [
        (
            "1. one\n\n   ```sh\n   run\n     it\n   ```\n\n2. two\n",
            "1. one\n\n    ```sh\n    run\n      it\n    ```\n\n2. two\n",
        ),
        ("2. one:\n   - a\n     b\n\n   c\n", "2. one:\n    - a\n        b\n\n    c\n"),
        ("text:\n- one\n  more\n- two\n\nafter\n", "text:\n\n- one\n    more\n- two\n\nafter\n"),
        ("text\n| a |\n|---|\n| b |\n", "text\n\n| a |\n|---|\n| b |\n"),
        ("```\n- no list\n| no table\n   indented\n```\n", "```\n- no list\n| no table\n   indented\n```\n"),
    ],
)
def test_lists_and_tables_are_laid_out_as_the_site_reads_them(written: str, laid_out: str) -> None:
    assert site.indented(written) == laid_out
