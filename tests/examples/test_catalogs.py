"""The catalogs of the examples are right."""

from pathlib import Path

import yaml

from contract.catalog import load_catalog, source_folder

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_demo_serves_two_tasks_of_one_installed_model() -> None:
    catalog = load_catalog(EXAMPLES / "catalog.yaml")
    assert {spec.id: spec.task for spec in catalog.values()} == {
        "local/minilm": "feature-extraction",
        "local/similarity": "sentence-similarity",
    }
    for spec in catalog.values():
        assert spec.source is not None
        assert (Path(source_folder(spec.source)) / "model.safetensors").is_file()


def test_the_five_lines_of_the_spam_page_are_a_catalog(tmp_path: Path) -> None:
    page = (EXAMPLES / "spam" / "README.md").read_text(encoding="utf-8")
    block = page.split("```yaml\n")[1].split("```")[0]
    assert len(block.strip().splitlines()) == 5
    (tmp_path / "catalog.yaml").write_text(block)
    spec = load_catalog(tmp_path / "catalog.yaml")["spam"]
    assert spec.source == str(tmp_path / "spam" / "model")


def test_the_spam_lines_in_the_demo_catalog_work_when_uncommented(tmp_path: Path) -> None:
    text = (EXAMPLES / "catalog.yaml").read_text(encoding="utf-8")
    head, _, tail = text.partition("  # spam:")
    lines = ["  spam:", *tail.splitlines()[1:]]
    (tmp_path / "catalog.yaml").write_text(
        head + "\n".join(line.replace("# ", "", 1) for line in lines)
    )
    assert load_catalog(tmp_path / "catalog.yaml")["spam"].task == "text-classification"


def test_every_catalog_of_the_examples_is_tested() -> None:
    files = {path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*.yaml")}
    found = {str(path) for path in files if path.parts[0] != "gitops"}  # manifests and values
    assert found == {"catalog.yaml", "custom/catalog.yaml"}
    for name in found:
        assert yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))["models"]
