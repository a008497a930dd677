"""The site that `make docs` has built: it loads nothing from elsewhere, and each page is whole and reads as it should."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from local import site

HTML = site.ROOT / ".local" / "docs" / "html"
PAGES = sorted(HTML.rglob("*.html"))
LOADED = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("form", "action")}
"""What a browser fetches by itself; a link is followed by a reader."""


class Page(HTMLParser):
    """What a page loads, where it leads, its anchors, and the text that stands outside of code."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded, self.links, self.anchors, self.text = list[str](), list[str](), set[str](), list[str]()
        self._code = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag in {"code", "pre", "script", "style"}
        for name, value in attrs:
            if (tag, name) in LOADED:
                self.loaded.append(value or "")
            elif (tag, name) == ("a", "href"):
                self.links.append(value or "")
            elif name == "id":
                self.anchors.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in {"code", "pre", "script", "style"}

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.text.append(data)


@cache
def read(path: Path) -> Page:
    return Page(path)


every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(HTML)))


def test_the_site_has_a_page_for_every_document() -> None:
    documents = {str(path.relative_to(site.ROOT)) for path in site.documents() if path.suffix == ".md"}
    built = {str(path.relative_to(HTML)) for path in PAGES}

    assert {re.sub(r"\.md$", ".html", site.place(name) or "") for name in documents} <= built


@every_page
def test_a_page_loads_nothing_from_another_host(path: Path) -> None:
    assert [url for url in read(path).loaded if urlsplit(url).netloc or urlsplit(url).scheme not in {"", "data"}] == []


def test_no_style_sheet_loads_anything_from_another_host() -> None:
    for sheet in HTML.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )\s*[\"']?((?:https?:)?//[^)\"']+)", sheet.read_text()) == [], sheet.name


@every_page
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    here = read(path)
    for link in (each for each in [*here.links, *here.loaded] if path.name != "404.html"):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target

        assert target.is_file(), link
        if parts.fragment and target.suffix == ".html":
            assert unquote(parts.fragment) in read(target).anchors | {"__top"}, link


@every_page
def test_no_markdown_is_left_in_a_page(path: Path) -> None:
    text = "".join(read(path).text)

    assert not re.search(r"```|\|---|\]\(|^\s*\|.*\|\s*$|\*\*|^ *- ", text, re.MULTILINE), path.name
