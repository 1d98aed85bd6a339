"""Ends a child process when the process that started it is gone, even by SIGKILL.

Linux could do this with `prctl(PR_SET_PDEATHSIG)`, but macOS cannot, and it needs code between fork and
exec, which a process with threads must not run. So each watch is one small `sh` that reads a pipe, which
ends with its writer, however the writer ends.
"""

import os
import subprocess

SCRIPT = """
child=$1 grace=$2 others=
while read -r other; do others="$others $other"; done
left() { [ "$passed" -lt "$grace" ]; }
passed=0
for other in $others; do
  while left && kill -0 "$other" 2>/dev/null; do sleep 1; passed=$((passed + 1)); done
done
kill -CONT "$child"; kill -TERM "$child"
passed=0
while left && kill -0 "$child" 2>/dev/null; do sleep 1; passed=$((passed + 1)); done
kill -KILL "$child"
"""


class ParentWatch:
    """Sends SIGTERM to `pid` when this process ends, and SIGKILL `grace_seconds` later.

    On Windows there is no `sh`, and nothing is watched.
    """

    def __init__(self, pid: int, grace_seconds: float = 10.0) -> None:
        self._shell: subprocess.Popen[bytes] | None = None
        if os.name == "posix":
            self._shell = subprocess.Popen(
                [
                    "/bin/sh",
                    "-c",
                    SCRIPT,
                    "soloist-parent-watch",
                    str(pid),
                    str(round(grace_seconds)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is not for it
            )

    def end_after(self, pid: int) -> None:
        """End the child only after `pid` has ended, but no later than its grace."""
        if self._shell and self._shell.stdin:
            self._shell.stdin.write(f"{pid}\n".encode())
            self._shell.stdin.flush()

    def dismiss(self) -> None:
        """The child has ended: end the watch."""
        if self._shell and self._shell.stdin:
            self._shell.kill()  # before the pipe is closed, or it would act
            self._shell.wait()
            self._shell.stdin.close()
            self._shell = None
