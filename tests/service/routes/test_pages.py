"""The files of the status page and of the API's description, as they are served."""

import re
from html.parser import HTMLParser
from importlib.resources import files

import httpx
import pytest

FOLDER = files("service") / "page"
FILES = sorted(file.name for file in FOLDER.iterdir())


@pytest.mark.parametrize("name", ["", *FILES])
def test_each_file_of_the_page_is_served_with_its_type_and_its_rules(
    http: httpx.Client, name: str
) -> None:
    path = f"/page/{name}" if name else "/"
    kinds = {
        "html": "text/html",
        "css": "text/css",
        "js": "text/javascript",
        "svg": "image/svg+xml",
    }
    answer = http.get(path)
    assert answer.status_code == 200
    kind = kinds[(name or "index.html").rpartition(".")[2]]
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    head = http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))


def test_a_browser_that_has_the_page_gets_it_once(http: httpx.Client) -> None:
    etag = http.get("/").headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        again = http.get("/", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert http.get("/", headers={"if-none-match": '"other"'}).status_code == 200
    assert http.get("/page/page.js").headers["etag"] != etag


def test_the_page_needs_nothing_from_elsewhere_and_holds_no_script_of_its_own(
    http: httpx.Client,
) -> None:
    wanted: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names = dict(attrs)
            assert not [name for name in names if name.startswith("on") or name == "style"], tag
            assert tag != "style"
            assert tag != "script" or names.get("src")
            if tag != "a":
                wanted.extend(filter(None, (names.get("src"), names.get("href"))))

    Reader().feed(http.get("/").text)
    assert set(wanted) == {"page/icon.svg", "page/page.css", "page/page.js"}
    for name in FILES:
        text = (FOLDER / name).read_text("utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        for module in re.findall(r'from "\./([\w.]+)"', text):
            assert module in FILES


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_no_script_turns_text_into_markup(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert len(text.splitlines()) < 200


def test_the_documentation_page_is_there(http: httpx.Client) -> None:
    answer = http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for name in ("docs.js", "swagger-ui-bundle.js", "swagger-ui.css"):
        assert f'"page/{name}"' in answer.text
        assert http.get(f"/page/{name}").status_code == 200
    assert http.get("/redoc").status_code == 404


def test_nothing_of_the_documentation_page_comes_from_elsewhere(http: httpx.Client) -> None:
    answer = http.get("/docs")
    assert "//" not in answer.text
    rules = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
