"""The dashboards' pictures: there, shown, small; and the page that draws them knows all that they use."""

import re

import pytest
from PIL import Image

from tests.observability.boards import BOARDS, ROOT, every_panel
from tests.observability.pictures.drawing import MOST_BYTES, PAGE, SCRIPTS

DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_has_a_picture_that_the_documentation_shows(name: str) -> None:
    file = DOCS / "pictures" / f"dashboard-{name.removeprefix('soloist-')}.png"

    with Image.open(file) as image:
        assert image.width == 1400
    assert file.stat().st_size < MOST_BYTES
    assert f"(pictures/{file.name})" in (DOCS / "observability.md").read_text(encoding="utf-8")


def test_the_page_can_draw_every_panel_and_write_every_unit() -> None:
    text = "".join((PAGE / script).read_text(encoding="utf-8") for script in SCRIPTS)
    drawn = set(re.findall(r'^DRAW(?:\.(\w+)|\["([\w-]+)"\]) = ', text, re.M))
    units = set(re.findall(r"^  (\w+): (?:value =>|thousands|seconds)", text, re.M))

    assert {panel["type"] for _, panel in every_panel()} <= {a or b for a, b in drawn}
    used = {panel["fieldConfig"]["defaults"]["unit"] for _, panel in every_panel()}
    assert {unit for unit in used if not unit.startswith("suffix:")} <= units
