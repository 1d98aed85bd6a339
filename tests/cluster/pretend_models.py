"""The model of the cluster's tests: pure Python, mounted into whatever worker image there is."""

import json
import os
import time
from pathlib import Path


class Nap:
    """Runs for `input.seconds`, or until the file `options.release` is made, and says where it ran.

    While it runs the same is to be read in the prediction's logs, as a line of JSON.
    """

    def load(self, spec, device):
        self.release = Path(spec.options["release"])

    def predict(self, items):
        return [self.nap(item) for item in items]

    def nap(self, item):
        where = {
            "pod": os.environ.get("HOSTNAME", ""),
            "device": os.environ.get("PRETEND_GPU", ""),
            "pid": os.getpid(),
            "started_at": time.time(),
        }
        item.log(json.dumps(where))
        until = time.monotonic() + item.input["seconds"]
        while time.monotonic() < until and not item.should_stop() and not self.released():
            time.sleep(0.05)
        return {**where, "ended_at": time.time()}

    def released(self):
        """True once for each time that the file was made."""
        try:
            self.release.unlink()
        except FileNotFoundError:
            return False
        return True
