"""`python -m tests.storm --seed 7 --seconds 180 --broker rabbitmq`: one storm, or several, and their numbers."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from local.processes import PROJECT
from tests.storm.storm import Outcome, run_storm

RESULTS = PROJECT / ".soloist" / "storms"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first storm")
    parser.add_argument("--seeds", type=int, default=1, help="how many storms a broker")
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults in each")
    parser.add_argument(
        "--broker", default="redis", help="redis, rabbitmq or shared; several by comma"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the logs of storms without violation"
    )
    wanted = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for broker in wanted.broker.split(","):
        for seed in range(wanted.seed, wanted.seed + wanted.seeds):
            folder = Path(tempfile.mkdtemp(prefix=f"{broker}-{seed}-", dir=RESULTS))
            outcome = run_storm(folder, broker, seed, wanted.seconds)
            outcomes.append(outcome)
            if outcome.violations:
                print(outcome.complaint)
            print(json.dumps(outcome.row()), flush=True)
            if outcome.violations or wanted.keep:
                print(f"  all that was asked and logged: {folder}")
            else:
                shutil.rmtree(folder)
    results = RESULTS / f"results-{time.strftime('%Y%m%d-%H%M%S')}.json"
    results.write_text(json.dumps([outcome.row() for outcome in outcomes], indent=2))
    print(table(outcomes))
    print(f"as JSON: {results}")
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def table(outcomes: list[Outcome]) -> str:
    """One row a storm."""
    rows = [outcome.row() for outcome in outcomes]
    names = [name for name in rows[0] if name != "violations"] + ["violations"]
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(str(row[name]) for name in names) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
