"""The catalog: one file, a map of models, and an error that names the place."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.catalog import Catalog, ModelSpec, load_catalog, source_folder
from contract.errors import CatalogInvalid, ModelNotFound
from contract.versions import entry_of, is_version

MINILM = {"source": "org/minilm", "task": "feature-extraction"}
PYTHON = {"python": "package.module:Class"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalog.yaml"


def write(file: Path, models: Any) -> Path:
    file.write_text(yaml.safe_dump({"models": models}), encoding="utf-8")
    return file


def load(file: Path, models: Any) -> Catalog:
    return load_catalog(write(file, models))


def refusal(file: Path, content: str | None = None) -> str:
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(CatalogInvalid) as caught:
        load_catalog(file)
    line = str(caught.value)
    assert "\n" not in line
    assert str(file) in line
    return line


def test_a_catalog_is_a_map_of_models_in_the_order_of_the_file(file: Path) -> None:
    file.write_text(
        "models:\n"
        "  zebra: {source: org/z, task: fill-mask}\n"
        "  ant: {python: 'package.module:Class', max_batch_size: 8}\n",
        encoding="utf-8",
    )
    catalog = load_catalog(file)

    assert list(catalog) == ["zebra", "ant"]
    assert len(catalog) == 2
    assert catalog["ant"].max_batch_size == 8
    assert (catalog["zebra"].name, catalog["zebra"].source) == ("zebra", "org/z")


def test_an_id_that_is_not_set_is_local(file: Path) -> None:
    catalog = load(file, {"minilm": MINILM, "other": {**MINILM, "id": "acme/other"}})

    assert catalog["minilm"].id == "local/minilm"
    assert catalog["minilm"].owner == "local"
    assert catalog["other"].owner == "acme"


def test_a_model_is_found_by_its_id_its_version_or_both(file: Path) -> None:
    catalog = load(file, {"a": MINILM, "b": {**MINILM, "id": "acme/b", "revision": "v2"}})
    b = catalog["b"]
    version = b.version("1" * 32)

    for reference in ("acme/b", version, f"acme/b:{version}", f"acme/b:{'f' * 64}"):
        assert catalog.find(reference) is b
    assert catalog.find("local/a") is catalog["a"]


def test_what_is_not_in_the_catalog_is_not_found(file: Path) -> None:
    catalog = load(file, {"a": MINILM, "b": {**MINILM, "revision": "v2"}})
    for reference in ("a", "local/c", f"local/a:{'f' * 63}", "local/a:v1", "f" * 64, "", ":"):
        with pytest.raises(ModelNotFound):
            catalog.find(reference)
    with pytest.raises(ModelNotFound) as caught:
        catalog.find("x" * 10_000)
    assert len(str(caught.value)) < 300


def test_two_models_of_the_same_files_are_two(file: Path) -> None:
    catalog = load(file, {"a": MINILM, "b": MINILM})
    a, b = catalog.values()

    assert a.version() != b.version()
    assert [catalog.find(spec.version("1" * 32)) for spec in (a, b)] == [a, b]


def test_an_entry_is_the_same_wherever_its_catalog_lies(tmp_path: Path) -> None:
    entries = []
    for place in ("gateway", "worker"):
        (tmp_path / place).mkdir()
        catalog = load(tmp_path / place / "c.yaml", {"a": {**MINILM, "source": "./model"}})
        entries.append((catalog["a"].entry, catalog["a"].source))

    assert entries[0][0] == entries[1][0]
    assert entries[0][1] != entries[1][1]
    other = load(file=tmp_path / "d.yaml", models={"a": {**MINILM, "source": "./other"}})
    assert other["a"].entry != entries[0][0]


def test_an_entry_changes_with_what_answers_and_not_with_how_it_is_served() -> None:
    def version(**changes: Any) -> str:
        return ModelSpec(name="m", **{**MINILM, **changes}).entry

    assert re.fullmatch("[0-9a-f]{32}", version())
    assert version() == version()
    whole = ModelSpec(name="m", **MINILM).version("1" * 32)
    assert (is_version(whole), entry_of(whole)) == (True, version())
    for change in (
        {"source": "org/other"},
        {"id": "a/b"},
        {"task": "sentence-similarity"},
        {"revision": "v2"},
        {"dtype": "float16"},
        {"pooling": "cls"},
        {"generation": {"max_new_tokens": 5}},
        {"options": {"a": 1}},
    ):
        assert version(**change) != version(), change
    for change in (
        {"max_batch_size": 1},
        {"description": "x"},
        {"device": "cpu"},
        {"scaling_target": 2},
        {"cost_per_hour": 1.5},
    ):
        assert version(**change) == version(), change


def test_a_relative_folder_is_relative_to_the_file(file: Path) -> None:
    catalog = load(
        file,
        {
            "here": {**MINILM, "source": "./model"},
            "above": {**MINILM, "source": "../model"},
            "home": {**MINILM, "source": "~/model"},
            "root": {**MINILM, "source": "/models/m"},
            "hub": {**MINILM, "source": "org/model"},
        },
    )

    assert catalog["here"].source == str(file.parent / "model")
    assert catalog["above"].source == str(file.parent.parent / "model")
    assert catalog["home"].source == str(Path.home() / "model")
    assert catalog["root"].source == "/models/m"
    assert catalog["hub"].source == "org/model"


def test_a_folder_inside_a_python_package_is_found() -> None:
    import contract

    folder = source_folder("package:contract/ledger/scripts")
    assert Path(folder) == Path(contract.__file__).parent / "ledger" / "scripts"
    for other in ("org/model", "/models/m", "package:"):
        assert source_folder(other) == other


@pytest.mark.parametrize(
    "source",
    ["package:no_such_package/m", "package:no.such.package/m", "package:/m", "package:bisect"],
)
def test_a_python_package_that_is_not_there_is_refused(source: str) -> None:
    with pytest.raises(CatalogInvalid, match="is not installed") as caught:
        source_folder(source)
    assert source in str(caught.value)


def test_a_file_that_is_missing_or_is_no_map_is_refused(file: Path) -> None:
    assert "No such file" in refusal(file)
    for content in ("", "[]", "models:", "models: []", "models: {}", "modules: {a: {}}"):
        refusal(file, content)
    assert "`models`" in refusal(file, "models: {a: {}}\nworkers: 2")
    assert "is not YAML" in refusal(file, "models: {a: [}")
    file.write_bytes(b"models: \xff")
    assert "is not YAML" in refusal(file)


def test_a_name_that_stands_twice_is_refused_by_name(file: Path) -> None:
    line = refusal(file, "models:\n  a: {python: x:Y}\n  a: {python: x:Z}\n")
    assert "'a' stands twice" in line


def test_yaml_that_would_make_python_objects_is_refused(file: Path) -> None:
    assert "is not YAML" in refusal(file, "models: !!python/object/apply:os.getcwd []")


@pytest.mark.parametrize(
    ("name", "entry", "place", "words"),
    [
        ("a", "text", "models.a", "must be a map"),
        ("a", {**MINILM, "max_batch": 3}, "models.a.max_batch", "Extra inputs"),
        ("a", {**MINILM, "max_batch_size": 0}, "models.a.max_batch_size", "greater than"),
        ("a", {**MINILM, "task": "mind-reading"}, "models.a.task", "feature-extraction"),
        ("a", {**MINILM, "id": "no-slash"}, "models.a.id", "pattern"),
        ("a", {**MINILM, "id": "a/b:c"}, "models.a.id", "pattern"),
        ("a", {"task": "fill-mask"}, "models.a", "give `source` and `task`"),
        ("a", {"source": "org/m"}, "models.a", "give `source` and `task`"),
        ("a", {**MINILM, **PYTHON}, "models.a", "not both"),
        ("a", {"python": "module.Class"}, "models.a.python", "pattern"),
        ("a", {**MINILM, "input_schema": {"type": "object"}}, "models.a", "`python` models only"),
        ("Big_Name", MINILM, "models.Big_Name.name", "pattern"),
        ("-a", MINILM, "models.-a.name", "pattern"),
        ("a" * 41, MINILM, f"models.{'a' * 41}.name", "pattern"),
        (7, MINILM, "models.7.name", "string"),
    ],
)
def test_a_wrong_entry_is_refused_with_file_and_place(
    file: Path, name: Any, entry: Any, place: str, words: str
) -> None:
    line = refusal(write(file, {name: entry}))

    assert f"{file}: {place}: " in line or f"{file}: {place} " in line
    assert words in line


def test_two_models_with_the_same_id_are_refused_with_their_places(file: Path) -> None:
    write(file, {"a": {**MINILM, "id": "acme/m"}, "b": {**MINILM, "id": "acme/m"}})
    line = refusal(file)

    assert "models.b.id" in line
    assert "models.a" in line
    assert "acme/m" in line


def test_the_schemas_of_a_task_are_its_own_and_those_of_a_python_model_are_given() -> None:
    schema = {"type": "object", "required": ["text"]}
    task = ModelSpec(name="m", **MINILM)
    python = ModelSpec(name="m", **PYTHON, input_schema=schema, output_schema={"type": "number"})

    assert task.inputs["type"] == "object"
    assert task.outputs
    assert (python.inputs, python.outputs) == (schema, {"type": "number"})
    assert ModelSpec(name="m", **PYTHON).inputs == {"type": "object"}


def test_the_target_is_the_batch_size_unless_the_autoscaler_aims_at_another() -> None:
    spec = ModelSpec(name="m", max_batch_size=8, **MINILM)
    assert spec.target == 8
    assert spec.model_copy(update={"scaling_target": 3}).target == 3
