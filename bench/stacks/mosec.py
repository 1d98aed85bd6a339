"""mosec: a Rust front and an in-memory queue before a Python process."""

from bench.packages import FOLDER, install
from bench.stacks.stack import Stack, with_path
from local.processes import PROJECT


class Mosec(Stack):
    """Batches of up to 64."""

    name = "mosec"
    label = "mosec"
    path = "/inference"

    def start_processes(self) -> None:
        install()
        self.start_process(
            [
                "-m",
                "bench.served.mosec",
                "--address",
                "127.0.0.1",
                "--port",
                str(self.port),
                "--timeout",
                "60000",
                "--log-level",
                "warning",
            ],
            PYTHONPATH=with_path(PROJECT, FOLDER),
            PYTHONUSERBASE=str(FOLDER),  # it looks for its program in the `bin` of known places
            BENCH_MODEL=str(self.model.folder),
            BENCH_TASK=self.model.task,
        )
