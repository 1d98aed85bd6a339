"""Looks the ledger's name up within the time of a call: a resolver that is away needs half a minute to say so."""

import ipaddress
import socket
from threading import Event, Lock, Thread


class _LookUp:
    """One question to the resolver, for all who want to know meanwhile. Its thread cannot be stopped, only left."""

    def __init__(self, host: str) -> None:
        self.answered = Event()
        self.error: OSError | None = None
        Thread(target=self._run, args=[host], name="look-up", daemon=True).start()

    def _run(self, host: str) -> None:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            self.error = error
        except Exception as error:  # a name that cannot be one
            self.error = OSError(str(error))
        finally:
            self.answered.set()


class LookUps:
    """For threads. Asks once at a time for each name, however many wait."""

    def __init__(self) -> None:
        self._under_way: dict[str, _LookUp] = {}
        self._lock = Lock()

    def look_up(self, host: str, seconds: float) -> None:
        """Return when the resolver knows a name, so that who connects now hears it at once.

        Raises:
            OSError: it knows none; TimeoutError where it does not answer in time.
        """
        if _is_address(host):
            return
        with self._lock:
            asked = self._under_way.get(host)
            if asked is None or asked.answered.is_set():
                asked = self._under_way[host] = _LookUp(host)
        if not asked.answered.wait(seconds):
            raise TimeoutError(f"{host} is still being looked up")
        if asked.error is not None:
            raise OSError(*asked.error.args)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
