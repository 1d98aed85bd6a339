"""Which names a process answers to: a web page must not reach it by pointing a name of its own at it."""

import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from contract.settings import Settings

HOST = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^:\[\]]*))(?::\d*)?")
MOST_KNOWN = 256


class Hosts:
    """The names that a request's `Host` may carry (RFC 9110, section 7.2).

    A page of elsewhere whose name is made to resolve to our address (DNS rebinding) is, to the browser, of
    one origin with us; only the `Host` tells. Who listens on the loopback alone answers to loopback names.
    Elsewhere any name will do, unless `SOLOIST_ALLOWED_HOSTS` names those that will. An address cannot be
    rebound, so there every address is allowed: that is how kubelet and Prometheus ask.
    """

    def __init__(self, settings: Settings) -> None:
        named = settings.allowed_hosts.replace(",", " ").lower().split()
        self._local = is_loopback(settings.host) and not named
        self._any = "*" in named or not (self._local or named)
        if settings.public_url:
            named.append(urlsplit(settings.public_url).hostname or "")
        self._names = frozenset(name for name in named if not name.startswith("*"))
        self._endings = tuple(name[1:] for name in named if name.startswith("*."))
        self.allow = lru_cache(MOST_KNOWN)(self._allow)
        """Whether a `Host` header names us. None, as old probes send none: allowed; a browser always
        sends one."""

    def _allow(self, header: str | None) -> bool:
        if self._any or header is None:
            return True
        found = HOST.fullmatch(header.strip().lower())
        if found is None:
            return False
        name = (found["v6"] or found["name"]).rstrip(".")
        if is_loopback(name) or name in self._names or name.endswith(self._endings):
            return True
        return not self._local and _is_address(name)


def is_loopback(host: str) -> bool:
    """Whether a name or address can only be this machine's own (RFC 6761, section 6.3)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return _is_address(host) and ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
