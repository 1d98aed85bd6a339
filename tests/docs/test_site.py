"""The site of the docs: built strictly, whole by itself, and the same pages as on the forge."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.markdown import ROOT, html_of, pages
from tests.test_readme import recipe

CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
READERS = ["I have a model", "I run a cluster", "I call it", "I change it"]
SHAPES = ("li", "table", "tr", "pre", "code", "h1", "h2", "h3", "blockquote", "img", "em", "strong")


def named(nav: Any) -> Iterator[str]:
    """The pages in a navigation, however deep."""
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from named(entry)


class Elements(HTMLParser):
    """How often each element is in the article of a page, and what the whole page loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.loads: list[str] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._inside |= tag == "article"
        if self._inside and tag in SHAPES:
            self.counts[tag] += 1
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.loads.append(given["src"] or "")
        if tag == "link" and given.get("rel") != "canonical":
            self.loads.append(given.get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag != "article"


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(named(CONFIG["nav"])) == pages()


def test_each_reader_has_a_path() -> None:
    assert [title for entry in CONFIG["nav"][1:] for title in entry] == READERS
    start = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", start, re.MULTILINE) == READERS


def test_make_docs_builds_it_into_an_ignored_folder() -> None:
    assert "mkdocs build" in recipe("docs")
    ignored = ["git", "check-ignore", "--quiet", f"{CONFIG['site_dir']}/index.html"]
    assert subprocess.run(ignored, cwd=ROOT).returncode == 0


# --- built ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. It fails on a warning: a link, an anchor or a page of the navigation that is not there."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def file_of(page: str) -> str:
    """Where a page of the repository is in the site."""
    special = {"README.md": "readme.html"}
    path = page.removeprefix("docs/").replace("README.md", "index.html")
    return special.get(page, path.replace(".md", ".html"))


@pytest.mark.slow
def test_the_configuration_is_strict(site: Path) -> None:
    checks = {**CONFIG["validation"]["nav"], **CONFIG["validation"]["links"]}
    assert CONFIG["strict"] is True
    assert set(checks.values()) == {"warn"}
    assert {"omitted_files", "not_found", "anchors"} <= checks.keys()


@pytest.mark.slow
def test_a_page_is_read_on_the_site_as_on_the_forge(site: Path) -> None:
    """Two dialects of Markdown: a list or a block that only one of them sees is written so that both do."""
    differ = {}
    for page in pages():
        ours = Elements((site / file_of(page)).read_text(encoding="utf-8")).counts
        theirs = Elements(f"<article>{html_of(page)}</article>").counts
        if ours != theirs:
            differ[page] = {
                tag: (ours[tag], theirs[tag]) for tag in ours | theirs if ours[tag] != theirs[tag]
            }
    assert differ == {}


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = {
        (load, path.name)
        for path in site.rglob("*.html")
        for load in Elements(path.read_text(encoding="utf-8")).loads
    }
    assert loads
    assert not [each for each in loads if re.match(r"(\w+:)?//", each[0])]
    sheets = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"url\(\s*['\"]?(?:https?:)?//[^)]*", sheets)


@pytest.mark.slow
def test_a_linked_file_of_code_is_a_page_that_shows_it(site: Path) -> None:
    shown = (site / "k8s" / "roles" / "installer.yaml.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]*>", "", shown)
    first = (ROOT / "k8s" / "roles" / "installer.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first in text
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert "installer.yaml.html" not in index
    assert "kubernetes.html" in index


@pytest.mark.slow
def test_the_address_that_an_alert_carries_is_there(site: Path) -> None:
    runbooks = {page.name for page in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert runbooks
    assert runbooks == {page.name for page in (site / "runbooks").glob("*.md")}
    assert len(list((site / "runbooks").glob("*.html"))) == len(runbooks)
