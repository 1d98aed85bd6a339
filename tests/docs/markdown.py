"""The Markdown files of the repository, as a forge reads them."""

import re
import subprocess
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
FENCED = re.compile(r"^ *(`{3,})[^\n]*\n.*?^ *\1`*$", re.DOTALL | re.MULTILINE)
RENDERER = MarkdownIt("commonmark").enable("table")


@cache
def tracked() -> frozenset[str]:
    """The files that git has, or that are new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(name for name in done.stdout.splitlines() if (ROOT / name).exists())


@cache
def folders() -> frozenset[str]:
    """The folders of these files, from the root."""
    return frozenset(str(parent) for name in tracked() for parent in Path(name).parents)


def pages() -> list[str]:
    """Those that people read, from the root; not the forms of the forge."""
    return sorted(n for n in tracked() if n.endswith(".md") and not n.startswith(".github/"))


@cache
def read_page(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def links_of(page: str) -> list[str]:
    """What its links to files of the repository name, anchors included."""
    return LINK.findall(FENCED.sub("", read_page(page)))


def anchors_of(page: str) -> set[str]:
    """The ids that a forge gives to the headings of a page: lower case, words joined by dashes."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", FENCED.sub("", read_page(page)), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        base = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        slug, count = base, 0
        while slug in found:
            count += 1
            slug = f"{base}-{count}"
        found.add(slug)
    return found


def html_of(page: str) -> str:
    """The page as CommonMark with tables, which forges read."""
    return RENDERER.render(read_page(page))
