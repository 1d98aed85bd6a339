"""What a worker that is ready says of itself in a few words; test_log_lines.py has its whole line."""

from typing import Any

import pytest

from worker import metrics, start_log

SIZES = {"memory_bytes": 3 * 2**29, "device_memory_bytes": 14 * 2**30}


def test_it_says_what_is_loaded_on_what_in_which_time_and_memory() -> None:
    facts = {"dtype": "bfloat16", "device": "NVIDIA H200", "load_seconds": 40.0, **SIZES}

    assert start_log.summarise({**facts, "connect_seconds": 1.4}) == (
        "bfloat16 on NVIDIA H200, 41 s, 1.5 GiB, 14 GiB on the device"
    )


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        ({"dtype": None}, "cpu, 41 s, 1.5 GiB, 14 GiB on the device"),
        ({"device_memory_bytes": None}, "float32 on cpu, 41 s, 1.5 GiB"),
        ({"memory_bytes": None}, "float32 on cpu, 41 s, 14 GiB on the device"),
    ],
)
def test_what_is_not_known_is_left_out(unknown: dict[str, Any], words: str) -> None:
    facts = {"dtype": "float32", "device": "cpu", "load_seconds": 41.4, **SIZES}

    assert start_log.summarise({**facts, **unknown}) == words


def test_a_device_with_a_long_name_fills_no_page() -> None:
    facts = {"dtype": "float32", "device": "x" * 1000, **SIZES}

    assert len(start_log.summarise(facts)) == start_log.MOST_CHARACTERS


def test_the_seconds_of_a_phase_are_a_metric_too() -> None:
    start_log.note_seconds("load", 1.25)

    (found,) = [
        sample.value
        for metric in metrics.START_SECONDS.collect()
        for sample in metric.samples
        if "load" in sample.labels.values()
    ]
    assert found == 1.25


def test_the_memory_of_this_process_is_known_on_linux() -> None:
    found = start_log.resident_bytes()

    assert found is not None
    assert found > 2**20
