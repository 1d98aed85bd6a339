"""The raw bound: a process that only predicts, batch after batch, with nothing around the model.

It reads one JSON command a line and writes one JSON answer a line: `answers` to all texts, or how many
texts a second it predicts in batches of a given size, in the order they came or sorted by length.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.offline import Offline


def batches(texts: list[str], size: int, by_length: bool) -> list[list[str]]:
    """The texts in batches, in the order they came or sorted by length."""
    texts = sorted(texts, key=len) if by_length else texts
    return [texts[i : i + size] for i in range(0, len(texts), size)]


def rate(model: Offline, texts: list[str], command: dict[str, Any]) -> dict[str, float]:
    """Predictions a second and CPU seconds of this process per 1000."""
    cut = batches(texts, command["batch"], command["by_length"])
    model.predict(cut[0])
    done, began, cpu = 0, time.monotonic(), time.process_time()
    # Whole passes, since the texts are not of one length.
    while (elapsed := time.monotonic() - began) < command["seconds"]:
        for batch in cut:
            model.predict(batch)
        done += len(texts)
    return {
        "per_second": done / elapsed,
        "cpu_seconds_per_1000": (time.process_time() - cpu) / done * 1000,
    }


def main() -> None:
    model = Offline(Path(os.environ["BENCH_MODEL"]), os.environ["BENCH_TASK"])
    texts: list[str] = []
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "texts":
            texts, reply = command["texts"], {}
        elif command["do"] == "answers":
            reply = {"answers": [answer for i in texts for answer in model.predict([i])]}
        else:
            reply = rate(model, texts, command)
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
