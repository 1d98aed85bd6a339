"""What a rehearsal has in place of helm and kubectl."""

from pathlib import Path

from suite_namespace import program

HELM = """#!/bin/sh
# The chart is rendered with the values that would be installed, and what a guard refuses fails.
echo "$*" >> {folder}/calls
case "$3" in
  install|upgrade) exec {helm} template "$4" "$5" --namespace "$2" --values - > {folder}/rendered-"$4" ;;
esac
"""
KUBECTL = """#!/bin/sh
# `exec` runs its command here, in the pod's folder; the rest is only noted.
echo "$*" >> {folder}/calls
case "$3" in
  exec) cd {folder}/"$4"; while [ "$1" != "--" ]; do shift; done; shift; exec "$@" ;;
  apply) cat > {folder}/applied ;;
  logs) echo no such pod >&2; exit 1 ;;
  get) case "$*" in *"-o name") echo pod/a ;; *) echo "all of $4" ;; esac ;;
esac
"""


def write_programs(folder: Path) -> None:
    """`helm` and `kubectl` into this folder, where they note how they are called."""
    for name, text in (("kubectl", KUBECTL), ("helm", HELM)):
        script = folder / name
        script.write_text(text.format(folder=folder, helm=program("helm") or "true"))
        script.chmod(0o755)
