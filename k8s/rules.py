"""`python -m k8s.rules`: the chart's rules as compose/rules.yaml, for a Prometheus without its operator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "soloist"
TARGET = ROOT / "compose" / "rules.yaml"
ONLY_IN_A_CLUSTER = "kubernetes.yaml"
HEADER = """\
# Written by `python -m k8s.rules` from charts/soloist/rules and the thresholds of charts/soloist/values.yaml.
"""


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines stay as they are written."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def filled(text: str, values: Mapping[str, object]) -> str:
    """Rules without `<name>`s: every series counts, and `values` holds the thresholds.

    >>> filled("a{<ours>, b='c'} > <most> or d{<ours>}", {"most": 3})
    "a{b='c'} > 3 or d"
    """
    for every in ("ours", "recorded"):
        text = text.replace(f"{{<{every}>}}", "").replace(f"<{every}>, ", "")
    for name, value in values.items():
        text = text.replace(f"<{name}>", str(value))
    return text


def groups(text: str, runbooks: str) -> list[dict[str, Any]]:
    """The groups of a file of rules; every alert gets its runbook's address."""
    found: list[dict[str, Any]] = yaml.safe_load(text)["groups"]
    for group in found:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["annotations"]["runbook_url"] = f"{runbooks}/{rule['alert']}.md"
    return found


def plain() -> str:
    """All rules that need no cluster, as one file for `rule_files`."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    rules = values["monitoring"]["rules"]
    found = [
        group
        for path in sorted((CHART / "rules").glob("*.yaml"))
        if path.name != ONLY_IN_A_CLUSTER
        for group in groups(
            filled(path.read_text(encoding="utf-8"), rules["thresholds"]), rules["runbookUrl"]
        )
    ]
    return HEADER + yaml.dump(
        {"groups": found}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000
    )


if __name__ == "__main__":
    TARGET.write_text(plain(), encoding="utf-8")
