"""Debian's Prometheus on a free port with data of its own, and what its HTTP API says."""

import json
import shutil
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from local.processes import Process, free_port

Found = list[dict[str, Any]]
"""Series: `metric` holds the labels, `value` or `values` the moments (seconds) and the values (text)."""

INTERVAL = 1
"""Seconds between two looks at a target, and at the rules."""
START_SECONDS = 30.0


class Prometheus:
    """One Prometheus. `jobs` are its scrape_configs, `rules` the groups of its rules; the targets of a
    job with `file_sd_configs` can change while it runs.
    """

    def __init__(
        self, folder: Path, jobs: list[dict[str, Any]], rules: list[dict[str, Any]]
    ) -> None:
        self.folder = folder
        folder.mkdir()
        every = f"{INTERVAL}s"
        config = {
            "global": {
                "scrape_interval": every,
                "scrape_timeout": every,
                "evaluation_interval": every,
            },
            "rule_files": ["rules.yaml"],
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": rules}))
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{free_port()}", timeout=30, trust_env=False
        )

    @staticmethod
    def installed() -> bool:
        return shutil.which("prometheus") is not None

    def __enter__(self) -> Self:
        self._process = Process(
            [
                "prometheus",
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                f"--web.listen-address={self._http.base_url.host}:{self._http.base_url.port}",
                "--log.level=warn",
            ],
            log=self.folder / "log",
            cwd=self.folder,
        )
        try:
            self._process.wait_until(self._ready, START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._http.close()

    def _ready(self) -> bool:
        try:
            return self._http.get("/-/ready").is_success
        except httpx.HTTPError:
            return False

    @property
    def said(self) -> str:
        """Its warnings and errors."""
        return self._process.log.read_text()

    def look_at(self, job: str, targets: list[tuple[str, dict[str, str]]]) -> None:
        """From now on these addresses, with their labels, are the job's targets."""
        groups = [{"targets": [address], "labels": labels} for address, labels in targets]
        fresh = self.folder / f"{job}.fresh"
        fresh.write_text(json.dumps(groups))
        fresh.rename(self.folder / f"{job}.json")

    # What it knows.

    def query(self, expr: str, at: float | None = None) -> Found:
        """The value of each series, now or at a moment."""
        moment = {} if at is None else {"time": at}
        found: Found = self._get("query", {"query": expr, **moment})["result"]
        return found

    def query_range(self, expr: str, start: float, end: float, step: float) -> Found:
        """The values of each series, one each `step` seconds."""
        asked = {"query": expr, "start": start, "end": end, "step": step}
        found: Found = self._get("query_range", asked)["result"]
        return found

    def number(self, expr: str, at: float | None = None) -> float | None:
        """The value of the only series there is."""
        found = self.query(expr, at)
        assert len(found) < 2, f"{expr} has {len(found)} values"
        return float(found[0]["value"][1]) if found else None

    def numbers(self, expr: str, label: str) -> dict[str, float]:
        """The values now, by a label that tells them apart."""
        found = self.query(expr)
        values = {each["metric"].get(label, ""): float(each["value"][1]) for each in found}
        assert len(values) == len(found), f"{label} does not tell the series of {expr} apart"
        return values

    def label_values(self, label: str, match: str) -> list[str]:
        found: list[str] = self._get(f"label/{label}/values", {"match[]": match})
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with `health`, `lastError` and, of an alert, `state`."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def _get(self, path: str, asked: dict[str, Any]) -> Any:
        answer = self._http.get(f"/api/v1/{path}", params=asked).json()
        assert answer["status"] == "success", f"{asked}: {answer.get('error')}"
        return answer["data"]
