"""`python -m worker --model NAME`: serve one model of the catalog."""

import sys

from worker import drain


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, serve, and answer the exit code."""
    drain.install_handlers()
    model, pool, concurrency, fetch = _parse_arguments(argv)
    from worker import pools

    pools.patch_sockets(pool)

    from contract.errors import EXIT_REFUSED, StartRefused
    from worker import start_failure
    from worker.process import fetch_to_cache, serve_model

    try:
        if fetch:
            return fetch_to_cache(model)
        return serve_model(model, pool, concurrency)
    except StartRefused as error:
        if drain.draining():
            return 0
        print(f"soloist worker: {error.detail}", file=sys.stderr, flush=True)
        start_failure.record_start_failure(model, error)
        return EXIT_REFUSED
    except Exception:
        if drain.draining():  # what it was just at took the end for an error of its own
            return 0
        raise


def _parse_arguments(argv: list[str] | None) -> tuple[str, str, int, bool]:
    """(model, pool, concurrency, whether the model is only fetched)."""
    import argparse

    from worker import pools

    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--model", required=True, help="a model's name in the catalog")
    parser.add_argument(
        "--pool",
        default=pools.SOLO,
        choices=pools.POOLS,
        help="Celery's pool; solo is the default for the reason that bench/topologies.py measures",
    )
    parser.add_argument("--concurrency", type=int, default=1, help="1 in the solo pool")
    parser.add_argument(
        "--fetch",
        action="store_true",
        help="download the model into the local Hugging Face cache and exit",
    )
    args = parser.parse_args(argv)
    if wrong := pools.check_concurrency(args.pool, args.concurrency):
        parser.error(wrong)
    return args.model, args.pool, args.concurrency, args.fetch


if __name__ == "__main__":
    sys.exit(main())
