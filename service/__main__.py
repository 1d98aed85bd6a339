"""`python -m service gateway` and `python -m service keeper`."""

import argparse
import os
import signal
import sys

from contract.errors import EXIT_REFUSED, StartRefused


def main(argv: list[str] | None = None) -> int:
    """Run one of the two until SIGTERM; answers the exit code."""
    # First of all, since PID 1 of a container ignores a signal that nobody handles. It ends at once: what is being
    # imported may swallow an exception, and there is nothing to close yet.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    parser.add_argument("process", choices=("gateway", "keeper"))
    args = parser.parse_args(argv)
    from service.process import serve_gateway, serve_keeper

    try:
        {"gateway": serve_gateway, "keeper": serve_keeper}[args.process]()
    except StartRefused as error:
        print(f"soloist {args.process}: {error.detail}", file=sys.stderr)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
