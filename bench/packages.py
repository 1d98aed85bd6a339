"""The packages that only the comparison needs, in a folder of their own.

Not in our environment, where they would change what is measured: uvicorn, for one, picks up websockets.
"""

import subprocess
import sys

from local.processes import PROJECT

FOLDER = PROJECT / ".soloist/bench-packages"
# With what they need beyond our own requirements; without --no-deps pip would fetch all those again.
PACKAGES = (
    "mosec==0.9.8",
    "litserve==0.2.19",
    "msgspec==0.22.0",
    "defspec==0.7.1",
    "offapi==0.1.4",
    "pyzmq==27.3.0",
)


def install() -> None:
    """Install them, unless they are there.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    mark = FOLDER / "installed.txt"
    wanted = "\n".join([sys.version, *PACKAGES])
    if mark.exists() and mark.read_text() == wanted:
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--no-deps"]
    subprocess.run([*command, "--target", str(FOLDER), *PACKAGES], check=True, timeout=300)
    mark.write_text(wanted)
