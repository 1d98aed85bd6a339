"""What the site is made of: all pages of docs/, those that the navigation names, and every file that they link to.

Each keeps the path that it has in the repository, so that a link means the same here and on the forge. A linked file of
code becomes a page that shows it.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!\w+:|#|/)([^)#\s]+)")
MEDIA = {".png", ".svg", ".js", ".css"}
BESIDE = ("docs/site/iframe-worker.js", "docs/site/style.css")


class SourceFile(File):
    """A file of code, shown as a page."""

    def is_documentation_page(self) -> bool:
        return True


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """In place of the files that MkDocs found in docs/; the theme's own stay."""
    themes = [file for file in files if file.src_dir != config.docs_dir]
    return Files([*themes, *(_file(path, config) for path in sorted(_reachable(config.nav)))])


def on_post_build(*, config: MkDocsConfig) -> None:
    """Put the runbooks beside their pages as they are: the address that an alert carries ends in `.md`."""
    for runbook in (ROOT / "docs" / "runbooks").glob("*.md"):
        shutil.copy(runbook, Path(config.site_dir) / "runbooks")


def _reachable(nav: Any) -> set[str]:
    """The paths of all files of the site, from the repository's root."""
    pages = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    waiting = [*pages, *_named(nav), *BESIDE]
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in found or not (ROOT / path).is_file():
            continue  # what is not there, MkDocs reports where it is named
        found.add(path)
        if path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            targets = [((ROOT / path).parent / target).resolve() for target in LINK.findall(text)]
            waiting += [
                target.relative_to(ROOT).as_posix()
                for target in targets
                if target.is_relative_to(ROOT)
            ]
    return found


def _named(nav: Any) -> Iterator[str]:
    """The paths in a navigation, however deep."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _named(entry)


def _file(path: str, config: MkDocsConfig) -> File:
    kind = File if path.endswith(".md") or Path(path).suffix in MEDIA else SourceFile
    inclusion = InclusionLevel.NOT_IN_NAV if kind is SourceFile else InclusionLevel.INCLUDED
    file = kind(path, str(ROOT), config.site_dir, use_directory_urls=False, inclusion=inclusion)
    if kind is SourceFile:
        file.dest_uri = f"{path}.html"
        file.content_string = _shown(path)
    elif path == "README.md":
        file.dest_uri = "readme.html"  # index.html is docs/index.md
    file.dest_uri = file.dest_uri.removeprefix("docs/")
    return file


def _shown(path: str) -> str:
    """The page of a file of code, which no search finds."""
    text = (ROOT / path).read_text(encoding="utf-8")
    fence = "`" * 8
    head = "---\nsearch: {exclude: true}\nhide: [navigation, toc]\n---\n"
    return f"{head}\n# {path}\n\n{fence}{Path(path).suffix[1:] or 'text'}\n{text}\n{fence}\n"
