"""The tables: ratios only between what was measured together, and nothing hidden."""

from typing import Any

from bench import topologies
from bench.report import Report, Spread, best_to_raw, cell, figure, ratio


def level(per_second: float, **fields: Any) -> dict[str, Any]:
    return {
        "per_second": per_second,
        "latency_ms": {"p50": 5.0, "p99": 9.0},
        "cpu_seconds_per_1000": 0.5,
        "errors": 0,
        "last_error": "",
        "generator_busy": 0.1,
        **fields,
    }


def visit(stack: str, number: int, best: float, raw: float) -> dict[str, Any]:
    return {
        "stack": stack,
        "model": "tiny",
        "round": number,
        "raw_per_second": raw,
        "best_per_second": best,
        "levels": {"1": level(best / 10), "64": level(best)},
        "half": level(best / 2),
        "memory_bytes": 2**29,
        "cold_start_seconds": 4.0,
    }


def results(visits: list[dict[str, Any]], failures: tuple[str, ...] = ()) -> dict[str, Any]:
    rate = {"per_second": 4000.0, "cpu_seconds_per_1000": 0.25}
    return {
        "labels": {"ours-redis": "Soloist on Redis", "mosec": "mosec", "usual": "usual, polling"},
        "models": ["tiny", "minilm"],
        "machine": {
            "processor": "A CPU",
            "cores": 2,
            "stack_cores": [0],
            "load_cores": [1],
        },
        "plan": {"rounds": 2, "seconds": 4.0},
        "bounds": [
            {"model": "tiny", "round": 0, "batch": 64, "plain": rate, "by_length": rate},
        ],
        "visits": visits,
        "failures": list(failures),
        "generator": {"1": {"per_second": 20000.0}, "64": {"per_second": 100000.0}},
    }


def test_a_ratio_joins_only_visits_of_the_same_round() -> None:
    visits = [
        visit("ours-redis", 0, 900, 1000),
        visit("ours-redis", 1, 450, 500),
        visit("ours-redis", 2, 1, 1000),
        visit("mosec", 0, 450, 1000),
        visit("mosec", 1, 450, 500),
    ]
    assert ratio(visits, "ours-redis", "mosec", best_to_raw) == Spread(1.5, 1.0, 2.0)


def test_a_ratio_to_what_was_not_measured_is_left_out() -> None:
    assert ratio([visit("mosec", 0, 450, 1000)], "mosec", "usual", best_to_raw) is None
    assert cell(None) == "-"


def test_cells_show_the_median_and_the_range() -> None:
    assert cell(Spread.of([3.0, 1.0, 2.0])) == "2.00 (1.00 to 3.00)"
    assert cell(Spread.of([0.5])) == "0.50"
    assert [figure(value) for value in (0.0123, 0.123, 1.23, 12.3, 12345.6)] == [
        "0.012",
        "0.12",
        "1.23",
        "12.3",
        "12346",
    ]


def test_the_report_has_a_row_for_each_stack_and_leaves_out_models_that_were_not_run() -> None:
    text = Report(
        results([visit("ours-redis", 0, 900, 1000), visit("mosec", 0, 800, 1000)])
    ).render()
    assert "| Soloist on Redis | 0.90 | 1.12 | - | 1.00 |" in text
    assert "| mosec | 0.80 | 1.00 | - | 1.00 |" in text
    assert "| Soloist on Redis | 5.00 / 9.00 | 0.50 | 512 | 4.00 |" in text
    assert "usual" not in text.split("### At half")[1]
    assert "## minilm" not in text
    assert "Warnings" not in text


def test_errors_a_busy_generator_and_failures_are_told() -> None:
    bad = visit("mosec", 0, 800, 1000)
    bad["levels"]["64"] = level(800, errors=3, last_error="503 full", generator_busy=0.95)
    text = Report(results([bad], ("usual, tiny, round 0: StartFailed: no",))).render()
    assert "mosec, tiny, round 0, 64: 3 errors: 503 full" in text
    assert "mosec, tiny, round 0, 64: the load generator may have been the bottleneck" in text
    assert "StartFailed" in text


def test_the_five_topologies_are_measured_with_their_copies_of_the_model() -> None:
    found = {
        (way.pool, way.workers, way.concurrency): way.copies for way in topologies.pool_setups(3, 4)
    }
    green = {way for way in found if way[0] in ("gevent", "eventlet")}
    assert {way: copies for way, copies in found.items() if way not in green} == {
        ("prefork", 3, 4): 12,
        ("prefork", 1, 12): 12,
        ("solo", 3, 1): 3,
        ("threads", 3, 4): 3,
        ("threads", 1, 12): 1,
        ("solo", 1, 1): 1,
    }


def test_the_topologies_are_one_table() -> None:
    [way, *_] = topologies.pool_setups(2, 2)
    measured = {
        **level(100.0),
        "way": way.name,
        "pool": way.pool,
        "raw_per_second": 200.0,
        "memory_bytes": 2**30,
    }
    text = topologies.render_topologies(
        {
            "model": "tiny",
            "machine": {"processor": "A CPU", "stack_cores": [0]},
            "plan": {"rounds": 1},
            "ways": [way.__dict__],
            "visits": [measured],
            "failures": ["1 worker of one process (solo): no"],
        }
    )
    assert (
        "| 2 workers of 2 processes | prefork | 100 | 0.50 | 5.00 | 9.00 | 0.50 | 1024 | 4 |"
        in text
    )
    assert "- 1 worker of one process (solo): no" in text
