"""Every link of the docs leads to a file that is there, every anchor to a heading, and every path that they name exists."""

import posixpath
import re

import pytest

from tests.docs.markdown import anchors_of, folders, links_of, pages, read_page, tracked

MADE_BY_THE_READER = {
    ".soloist/",
    "bench/results/",
    "dist/images.json",
    "dist/site/",
    "generation_config.json",
    "my-values.yaml",
}
FILE = re.compile(r"(?!/)[\w./-]*\w\.(?:py|lua|ya?ml|md|json|toml|csv|svg)")
FOLDER = re.compile(r"[\w.-]+(?:/[\w.-]+)*/")
SPAN = re.compile(r"`([\w./-]+)`")
each_page = pytest.mark.parametrize("page", pages())


@each_page
def test_a_link_leads_to_a_file_and_its_anchor_to_a_heading(page: str) -> None:
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        assert target in tracked(), f"{page} -> {link}"
        assert not anchor or anchor in anchors_of(target), f"{page} -> {link}"


@pytest.mark.parametrize("page", sorted({*pages()} - {"CHANGELOG.md"}))  # it tells of what was
def test_a_path_that_is_named_exists(page: str) -> None:
    wrong = [name for name in SPAN.findall(read_page(page)) if not _exists(name)]
    assert wrong == [], f"{page} names {wrong}"


def _exists(name: str) -> bool:
    """Whether a path is there, from the root or as the end of a longer one; what is no path, is fine."""
    if name in MADE_BY_THE_READER:
        return True
    if FILE.fullmatch(name):
        return any(f"/{each}".endswith(f"/{name}") for each in tracked())
    if FOLDER.fullmatch(name):
        return any(f"/{each}/".endswith(f"/{name}") for each in folders())
    return True


def test_a_path_that_is_gone_would_be_noticed() -> None:
    assert _exists("contract/errors.py")
    assert _exists("errors.py")
    assert _exists("contract/tasks/")
    assert _exists("/openapi.json"), "a path of the API"
    assert not _exists("contract/mistakes.py")
    assert not _exists("contract/chores/")


def test_anchors_are_made_as_forges_make_them() -> None:
    assert "replicas-and-failover" in anchors_of("docs/guarantees.md")
    assert "from-a-client-you-have" in anchors_of("README.md")


def test_a_page_says_in_its_title_what_it_is() -> None:
    for page in pages():
        assert read_page(page).startswith("# "), page


LOOKED_FOR = {
    "a claim": ["worker/task.py", "contract/ledger/scripts/claim.lua"],
    "the retry decision": ["contract/ledger/scripts/parts/retry.lua", "contract/ledger/retry.py"],
    "a status of HTTP": ["service/http/problems.py"],
    "a metric": ["service/gateway/metrics.py", "service/keeper/metrics.py", "worker/metrics.py"],
    "a task": ["contract/tasks/texts.py", "docs/add-a-task.md"],
}


def test_what_people_look_for_first_is_one_hop_from_how_it_works() -> None:
    page = "docs/architecture.md"
    near = {posixpath.normpath(posixpath.join("docs", link)) for link in links_of(page)}
    for what, files in LOOKED_FOR.items():
        assert near.issuperset(files), what
    assert page in links_of("README.md")
