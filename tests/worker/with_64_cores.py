"""`python -m tests.worker.with_64_cores ...`: a worker on a large machine, which says what it takes and ends.

Prints how many batches it would run at once, how many messages it would hold, and its pool.
"""

import multiprocessing
import os
import sys

import billiard

os.cpu_count = multiprocessing.cpu_count = billiard.cpu_count = lambda: 64

if __name__ == "__main__":
    from celery.worker import state
    from celery.worker import worker as controllers

    from worker.__main__ import main
    from worker.consumer import SoloConsumer

    def tell(self: SoloConsumer) -> None:
        pool = self.pool.__module__
        print("takes", self.controller.concurrency, self.initial_prefetch_count, pool, flush=True)
        state.should_stop = 0

    controllers.cpu_count = os.cpu_count
    SoloConsumer.on_ready = tell
    sys.exit(main())
