"""`python -m worker --fetch`: from a hub of the test's own, by the real client, into a cache that a worker loads."""

import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.catalog import ModelSpec
from contract.settings import Settings
from tests.e2e.stack import Worker
from tests.support.waiting import until
from tests.worker.fake_hub import RIGHT, FakeHub, commit_of
from tests.worker.fetch_harness import FetchHarness, made
from worker.models.files import fetching

pytestmark = pytest.mark.slow

CLUTTER = {
    ".gitattributes": b"*.safetensors filter=lfs",
    "README.md": b"# Tiny",
    "consolidated.safetensors": b"another format",
    "flax_model.msgpack": b"flax",
    "modeling_tiny.py": b"raise SystemExit('ran')",
    "onnx/config.json": b"{}",
    "onnx/model.onnx": b"onnx",
    "onnx/model.safetensors": b"not ours",
    "pytorch_model.bin": b"a pickle",
    "tf_model.h5": b"tensorflow",
    "tiny.gguf": b"gguf",
    "training_args.pt": b"another pickle",
}
WRONG = {"HF_TOKEN": "hf_wrong"}
MODULES = {"modules.json": b"[]", "1_Pooling/config.json": b"{}", "chat_template.jinja": b"{{ x }}"}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a classifier with seeded random weights, as transformers saves them."""
    return made(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return made(tmp_path_factory.mktemp("sharded"), max_shard_size="8KB")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    opened = FakeHub()
    yield opened
    opened.go_on.set()
    opened.close()


@pytest.fixture
def harness(tmp_path: Path, hub: FakeHub) -> Iterator[FetchHarness]:
    opened = FetchHarness(tmp_path, hub)
    yield opened
    opened.close()


def test_what_was_fetched_is_what_a_worker_loads_without_a_network(
    hub: FakeHub, harness: FetchHarness, tiny: dict[str, bytes], settings: Settings
) -> None:
    hub.repositories["owner/tiny"] = {"main": {**tiny, **MODULES, **CLUTTER}}
    lines = harness.fetch()
    assert [line["message"] for line in lines] == ["fetching", "fetched"]
    assert lines[-1]["model"] == "tiny"
    assert lines[-1]["revision"] == "main"
    assert harness.files() == {*tiny, *MODULES}
    assert not [line for line in hub.requests for name in CLUTTER if line.endswith("/" + name)]

    hub.close()
    before = list(hub.requests)
    assert [line["message"] for line in harness.fetch()] == [
        "nothing to fetch: the model is in the cache"
    ]
    env = {
        "SOLOIST_REDIS_URL": settings.ledger,
        "SOLOIST_PREFIX": settings.prefix,
        "SOLOIST_DURABILITY": "none",
    }
    worker = Worker("w1", "tiny", harness.folder, harness.env | env)
    try:
        worker.ready()
    finally:
        worker.kill()
    assert hub.requests == before


def recipe(*modules: tuple[str, str]) -> bytes:
    """modules.json with these (kind, folder) behind the transformer."""
    listed = [("Transformer", ""), *modules]
    kind = "sentence_transformers.models."
    return json.dumps([{"type": kind + name, "path": path} for name, path in listed]).encode()


def test_what_sentence_transformers_modules_need_is_fetched_wherever_they_lie(
    hub: FakeHub, harness: FetchHarness, tiny: dict[str, bytes]
) -> None:
    modules = {
        "modules.json": recipe(("Pooling", "1_Pooling"), ("Dense", "2_Dense"), ("Dense", "top")),
        "1_Pooling/config.json": b"{}",
        "2_Dense/config.json": b"{}",
        "2_Dense/model.safetensors": b"a matrix",
        "top/config.json": b"{}",
        "top/model.safetensors": b"another",
    }
    pickle = {"2_Dense/pytorch_model.bin": b"a pickle"}
    hub.repositories["owner/tiny"] = {"main": {**tiny, **modules, **pickle, **CLUTTER}}
    harness.fetch()
    assert harness.files() == {*tiny, *modules}
    assert harness.fetch()[0]["message"].startswith("nothing to fetch")


def test_modules_with_pickled_weights_are_not_fetched(
    hub: FakeHub, harness: FetchHarness, tiny: dict[str, bytes]
) -> None:
    modules = {"modules.json": recipe(("Dense", "2_Dense")), "2_Dense/pytorch_model.bin": b"pickle"}
    hub.repositories["owner/tiny"] = {"main": {**tiny, **modules}}
    assert "2_Dense has no model.safetensors" in harness.refusal()


def test_the_revision_of_the_catalog_is_fetched_and_no_other(
    hub: FakeHub, harness: FetchHarness, tiny: dict[str, bytes]
) -> None:
    old = {**tiny, "vocab.txt": b"old"}
    hub.repositories["owner/tiny"] = {"main": tiny, "v1": old}
    harness.lists(revision="v1")
    harness.fetch()
    assert harness.files(commit_of(old)) == set(old)
    harness.lists(revision=commit_of(tiny))
    harness.fetch()
    assert harness.files(commit_of(tiny)) == set(tiny)


def test_a_branch_that_was_fetched_is_not_followed(
    hub: FakeHub, harness: FetchHarness, tiny: dict[str, bytes]
) -> None:
    hub.repositories["owner/tiny"] = {"main": tiny}
    harness.fetch()
    hub.repositories["owner/tiny"] = {"main": {**tiny, "vocab.txt": b"new"}}
    harness.fetch()
    assert harness.files() == set(tiny)


def test_of_many_weight_files_those_of_the_index_are_fetched(
    hub: FakeHub, harness: FetchHarness, sharded: dict[str, bytes]
) -> None:
    assert sum(name.endswith(".safetensors") for name in sharded) > 1
    hub.repositories["owner/tiny"] = {"main": {**sharded, **CLUTTER}}
    harness.fetch()
    assert harness.files() == set(sharded)

    shard = next(name for name in sharded if name.endswith(".safetensors"))
    next(harness.cache.rglob(shard)).unlink()
    harness.fetch()
    assert harness.files() == set(sharded)


def test_several_that_fetch_into_one_cache_fetch_each_file_once(
    hub: FakeHub, harness: FetchHarness, tiny: dict[str, bytes]
) -> None:
    hub.repositories["owner/tiny"] = {"main": tiny}
    hub.go_on.clear()
    first = harness.start()
    assert hub.halfway.wait(60)
    second = harness.start()
    # The last that it asks before it waits for the first.
    asked = "HEAD /owner/tiny/resolve/" + commit_of(tiny) + "/model.safetensors"
    until("the second fetch", lambda: hub.requests.count(asked) == 2, 60)
    hub.go_on.set()
    assert [first.code(60), second.code(60)] == [0, 0], first.output + second.output
    assert hub.sent("model.safetensors") == 1
    assert harness.files() == set(tiny)


def test_a_fetch_that_is_told_to_end_ends_at_once_and_the_next_completes_it(
    hub: FakeHub, harness: FetchHarness, tiny: dict[str, bytes]
) -> None:
    hub.repositories["owner/tiny"] = {"main": tiny}
    hub.go_on.clear()
    first = harness.start()
    assert hub.halfway.wait(60)
    assert first.end(5) == 128 + 15
    hub.go_on.set()

    (left,) = harness.cache.rglob("*.incomplete")
    os.utime(left, (0, 0))
    recent = left.with_name("another.incomplete")
    recent.touch()
    harness.fetch()
    assert harness.files() == set(tiny)
    assert not left.exists()
    assert recent.exists(), "another fetch may be writing it"


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"model.safetensors": None}, "its weights (pytorch_model.bin) are not safetensors"),
        ({"model.safetensors": None, "pytorch_model.bin": None}, "it has no model.safetensors"),
        ({"adapter_config.json": b"{}"}, "it is an adapter (LoRA)"),
        ({"config.json": None}, "it has no config.json"),
        (
            {"model.safetensors": None, INDEX: b'{"weight_map": {"a": "pytorch_model.bin"}}'},
            "its index names 'pytorch_model.bin'",
        ),
        (
            {"model.safetensors": None, INDEX: b'{"weight_map": {"a": "../../x.safetensors"}}'},
            "its index names '../../x.safetensors'",
        ),
    ],
)
def test_what_no_worker_can_load_is_refused(
    hub: FakeHub,
    harness: FetchHarness,
    tiny: dict[str, bytes],
    files: dict[str, bytes | None],
    complaint: str,
) -> None:
    changed = {**tiny, "pytorch_model.bin": b"a pickle", **files}
    kept = {name: body for name, body in changed.items() if body is not None}
    hub.repositories["owner/tiny"] = {"main": kept}
    assert complaint in harness.refusal()
    assert not hub.sent("pytorch_model.bin")


def test_what_the_hub_does_not_have_is_named(
    hub: FakeHub, harness: FetchHarness, tiny: dict[str, bytes]
) -> None:
    assert "the hub has no such model, or it is private" in harness.refusal()
    assert "HF_TOKEN (in a cluster: hub.tokenSecret)" in harness.refusal(**WRONG)
    hub.repositories["owner/tiny"] = {"main": tiny}
    harness.lists(revision="v9")
    assert "it has no revision 'v9'" in harness.refusal()


def test_a_gated_model_wants_a_token(
    hub: FakeHub, harness: FetchHarness, tiny: dict[str, bytes]
) -> None:
    hub.repositories["owner/tiny"] = {"main": tiny}
    hub.gated.add("owner/tiny")
    line = harness.refusal()
    assert "it is gated" in line
    assert "HF_TOKEN (in a cluster: hub.tokenSecret)" in line
    harness.fetch(HF_TOKEN=RIGHT)
    assert harness.files() == set(tiny)


def test_a_hub_that_is_away_is_named(hub: FakeHub, harness: FetchHarness) -> None:
    hub.status = 403
    assert "the hub refused it" in harness.refusal()
    hub.status = 503
    assert f"{hub.url} answered 503" in harness.refusal()
    hub.close()
    assert f"{hub.url} does not answer" in harness.refusal()


@pytest.mark.parametrize(
    "entry",
    [
        {"source": "./folder"},
        {"source": "/no/such/folder"},
        {"source": "package:no_such_package/model"},
        {"python": "no.such:Model"},
    ],
)
def test_what_is_not_on_the_hub_needs_no_fetch(
    hub: FakeHub, harness: FetchHarness, entry: dict[str, str]
) -> None:
    harness.lists(**entry)
    (line,) = harness.fetch()
    assert line["message"] == "nothing to fetch: the model is not on the hub"
    assert hub.requests == []


# --- in this process --------------------------------------------------------------------------------


def spec(**options: Any) -> ModelSpec:
    return ModelSpec(name="tiny", source="owner/tiny", task="fill-mask", **options)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left in the cache"),
        (errno.EDQUOT, "no space is left in the cache"),
        (errno.EROFS, "cannot be written: Read-only file system"),
        (errno.EACCES, "cannot be written: Permission denied"),
    ],
)
def test_a_cache_that_takes_nothing_is_named(number: int, words: str) -> None:
    def broken() -> None:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise RuntimeError("while writing") from error

    with pytest.raises(RuntimeError) as caught:
        broken()
    assert words in fetching._reason(caught.value, spec())


def test_how_much_has_come_is_told_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fetching, "TELL_SECONDS", 0.01)
    (tmp_path / "before").write_bytes(b"." * 50)
    with (
        caplog.at_level(logging.INFO),
        fetching._logging_progress(tmp_path, 100, {"model": "tiny"}),
    ):
        (tmp_path / "part.incomplete").write_bytes(b"." * 30)
        until(
            "it is told",
            lambda: any(vars(line).get("fetched_bytes") == 30 for line in caplog.records),
        )
    line = vars(caplog.records[-1])
    assert (line["model"], line["total_bytes"]) == ("tiny", 100)


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "shard"])
def test_a_worker_whose_model_is_not_in_the_cache_names_the_way_out(
    lost: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny: dict[str, bytes],
    sharded: dict[str, bytes],
) -> None:
    from contract.errors import ModelUnloadable
    from worker.models.files.checkpoint import Checkpoint

    files = dict(sharded if lost == "shard" else tiny)
    del files[
        next(name for name in files if name.endswith(".safetensors")) if lost == "shard" else lost
    ]
    folder = tmp_path / "models--owner--tiny" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelUnloadable, match="python -m worker --model tiny --fetch"):
        Checkpoint(spec(revision="0" * 40))


def test_a_package_that_is_missing_names_the_way_out() -> None:
    from contract.catalog import source_folder
    from contract.errors import CatalogInvalid

    with pytest.raises(CatalogInvalid, match=r"install it with pip .*DEMO=true"):
        source_folder("package:no_such_package/model")
