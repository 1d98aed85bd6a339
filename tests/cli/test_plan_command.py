"""`soloist plan`: values for the chart that fit the load, what to expect of them, and what it refuses."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import plan
from planner import search
from planner.autoscaler import Scaling

SMALL = ("--rate", "60/h", "--seconds", "5")
KEYS = {"min", "max", "target", "cooldownSeconds", "scaleDown"}


@pytest.fixture(autouse=True)
def quick_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.Search, "ROUNDS", 1)
    monkeypatch.setattr(search, "DAY", 8.0)


def scaling_of(text: str, model: str = "my-model") -> dict[str, Any]:
    return yaml.safe_load(text)["models"][model]["scaling"]


def test_it_prints_values_for_the_chart_and_what_to_expect(soloist) -> None:
    result = soloist("plan", *SMALL, "--model", "minilm", "--gpus", "3", "--price", "2")
    assert result.code == 0
    scaling = scaling_of(result.out, "minilm")
    assert scaling.keys() <= KEYS
    assert 1 <= scaling["max"] <= 3
    assert scaling["target"] >= 1
    for said in (
        r"# 60 predictions/h, steady; a batch of 1 takes 5 s; a pod starts in 60 s;",
        r"wait until started: half up to [\d.]+ s, 95 % up to [\d.]+ s",
        r"GPU-hours a day: [\d.]+, \d+% of them compute; who knew the arrivals would pay [\d.]+",
        r"cost a day: \d+\.\d\d; of 1000 predictions: \d+\.\d{3}",
        r"cold starts a day: [\d.]+",
        r"busy pods chosen by scale-in a day: [\d.]+; predictions killed: 0",
    ):
        assert re.search(said, result.out), said


@pytest.mark.slow
def test_the_example_in_the_docs_runs_and_its_values_are_of_the_same_kind(soloist) -> None:
    text = (Path(__file__).parents[2] / "docs/scaling.md").read_text()
    command, shown = re.search(
        r"```sh\nsoloist (plan .*?)\n```\n\n```yaml\n(.*?)```", text, re.S
    ).groups()
    result = soloist(*command.split())
    assert result.code == 0
    assert scaling_of(result.out, "minilm").keys() <= KEYS
    assert scaling_of(shown, "minilm").keys() <= KEYS
    assert result.out.count("\n#") == shown.count("\n#")


@pytest.mark.slow
def test_without_a_price_nothing_is_said_of_cost_and_the_same_seed_says_the_same(soloist) -> None:
    first, again = (soloist("plan", *SMALL).out for _ in range(2))
    assert first == again
    assert "cost" not in first
    assert soloist("plan", *SMALL, "--seed", "7").out != first


@pytest.mark.slow
def test_too_few_gpus_are_said_and_the_plan_is_for_enough(soloist) -> None:
    result = soloist("plan", "--rate", "1000/h", "--seconds", "10", "--gpus", "2")
    assert result.code == 0
    assert "2 GPUs cannot serve this load" in result.err
    assert "What follows is for 3 GPUs." in result.err
    assert scaling_of(result.out)["max"] == 3


@pytest.mark.slow
def test_a_wait_that_cannot_be_kept_is_said_with_the_way_out(soloist) -> None:
    spike = ("plan", "--rate", "600/h", "--shape", "bursts", "--seconds", "20", "--wait", "5")
    result = soloist(*spike, "--gpus", "8")
    assert result.code == 0
    assert "No values that were tried keep a p95 wait of 5 s with 8 GPUs" in result.err
    assert re.search(r"\d+ GPUs would keep it|more GPUs alone would not help", result.err)
    assert scaling_of(result.out)["max"] <= 8


@pytest.mark.slow
def test_the_picture_is_written(soloist, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert soloist("plan", *SMALL, "--picture", str(tmp_path / "plan.svg")).code == 0
    assert "my-model" in (tmp_path / "plan.svg").read_text()


def test_a_picture_without_matplotlib_is_refused_with_the_way_out(
    soloist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "find_spec", lambda name: None if name == "matplotlib" else object())
    result = soloist("plan", *SMALL, "--picture", "plan.svg")
    assert (result.code, result.out) == (1, "")
    assert result.err == "soloist: --picture needs matplotlib: pip install 'soloist[plan]'\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rate", "fast"], ["--rate", "10/s"]),
        (["--rate", "0/h"], ["--rate", "10/s"]),
        (["--rate", "100/s"], ["--rate", "200,000/h", "divide"]),
        (["--seconds", "0"], ["--seconds", "greater than 0"]),
        (["--seconds", "nan"], ["--seconds", "greater than 0"]),
        (["--seconds", "4000"], ["4000 s", "1800 s", "--seconds"]),
        (["--seconds", "600", "--each", "600", "--batch", "4"], ["2400 s", "--batch"]),
        (["--each", "-1"], ["--each", "greater than 0"]),
        (["--batch", "0"], ["--batch"]),
        (["--gpus", "0"], ["--gpus"]),
        (["--wait", "0"], ["--wait", "greater than 0"]),
        (["--cold-start", "inf"], ["--cold-start"]),
        (["--price", "-1"], ["--price"]),
        (["--shape", "wild"], ["--shape", "steady, daily, bursts, spike"]),
        (["--model", "My_Model"], ["--model", "a-z"]),
        (["--picture", "plan.gif"], ["--picture", ".svg"]),
        (["--picture", "nowhere/plan.svg"], ["--picture", "folder"]),
    ],
)
def test_bad_input_is_one_sentence_that_names_the_option(
    soloist, arguments: list[str], words: list[str]
) -> None:
    result = soloist("plan", *SMALL, *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("soloist: ")
    assert result.err.count("\n") == 1
    for word in words:
        assert word in result.err


@pytest.mark.parametrize(
    ("text", "rate"), [("10/s", 36_000), ("1.5/min", 90), ("2000/h", 2000), ("48 / day", 2)]
)
def test_a_rate_is_read_in_each_unit(text: str, rate: float) -> None:
    assert plan.per_hour(text) == rate


def test_only_values_that_differ_from_the_charts_are_printed_but_max_and_target_always() -> None:
    plain = scaling_of(plan.chart_values("m", Scaling(target=8, max=1)), "m")
    assert plain == {"max": 1, "target": 8}
    scaling = Scaling(4, 9, 2, 5, 60, stabilization_seconds=120, down_pods_per_minute=3)
    assert scaling_of(plan.chart_values("m", scaling), "m") == {
        "min": 2,
        "max": 9,
        "target": 4,
        "cooldownSeconds": 60,
        "scaleDown": {"stabilizationSeconds": 120, "podsPerMinute": 3},
    }
