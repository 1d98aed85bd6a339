"""Addresses: the URLs of ledger and broker, taken apart; also those of a Redis behind Sentinel."""

import re
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

USUAL_PORTS = {
    "redis": 6379,
    "rediss": 6379,
    "redis+sentinel": 26379,
    "rediss+sentinel": 26379,
    "amqp": 5672,
    "amqps": 5671,
}
NO_URL = "is no URL; a password in it must be percent-encoded, or given apart from it"
FORM = "the form is redis+sentinel://host:26379,host:26379/SERVICE or .../SERVICE/DATABASE"


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who knows which Redis is the primary: `redis+sentinel://[user:password@]host:26379,.../SERVICE[/DB]`."""

    addresses: tuple[tuple[str, int], ...]
    service: str
    """The name that the sentinels know the Redis by."""
    database: int = 0
    username: str | None = None
    """Of the Redis, as is the password; the sentinels have their own."""
    password: str | None = None
    tls: bool = False
    """To the sentinels and to the Redis."""

    @property
    def place(self) -> str:
        """For people: the service and where its sentinels are."""
        return f"{self.service} (sentinels {', '.join(_host_port(*a) for a in self.addresses)})"


def behind_sentinel(url: str) -> bool:
    return url.partition("://")[0].endswith("+sentinel")


def read_sentinels(url: str) -> Sentinels:
    """Take a `redis+sentinel://` or `rediss+sentinel://` URL apart.

    Raises:
        ValueError: it is none; the message never shows a part of it.
    """
    scheme, _, rest = url.partition("://")
    netloc, _, path = rest.partition("/")
    said, _, hosts = netloc.rpartition("@")
    if set("?#") & set(netloc) or set("@#") & set(path):
        raise ValueError(NO_URL)
    named = re.fullmatch(r"([A-Za-z0-9._-]+)(?:/(\d{1,9})?)?", path)
    if named is None:
        raise ValueError(f"names no service of Sentinel; {FORM}")
    user, _, secret = said.partition(":")
    return Sentinels(
        tuple(_sentinel(entry, USUAL_PORTS[scheme]) for entry in hosts.split(",")),
        service=named[1],
        database=int(named[2] or 0),
        username=unquote(user) or None,
        password=unquote(secret) or None,
        tls=scheme == "rediss+sentinel",
    )


def _sentinel(entry: str, usual_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{entry}")
        host, port = parts.hostname, parts.port or usual_port
    except ValueError:
        raise ValueError(NO_URL) from None
    if not host:
        raise ValueError(f"names a sentinel without a host; {FORM}")
    return host, port


def split_url(url: str) -> SplitResult:
    """The parts of a URL that names one host.

    Raises:
        ValueError: it cannot be taken apart, most often because of its password, of which nothing is shown.
    """
    with suppress(ValueError):
        parts = urlsplit(url)
        _ = parts.port  # a piece of a password is no number
        if not parts.fragment and "@" not in parts.path + parts.query:
            return parts
    raise ValueError(NO_URL)


def read_url(url: str) -> SplitResult | Sentinels:
    """Whichever of the two it is.

    Raises:
        ValueError: it is neither.
    """
    return read_sentinels(url) if behind_sentinel(url) else split_url(url)


def describe_place(url: str) -> str:
    """For people: where it leads, without its password."""
    parts = read_url(url)
    if isinstance(parts, Sentinels):
        return parts.place
    return f"{parts.hostname or 'localhost'}:{parts.port or USUAL_PORTS[parts.scheme]}"


def with_credentials(url: str, username: str | None, password: str | None) -> str:
    """The URL with what was given apart from it, percent-encoded."""
    if not username and not password:
        return url
    scheme, _, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    said, _, hosts = netloc.rpartition("@")
    user, colon, secret = said.partition(":")
    if username:
        user = quote(username, safe="")
    if password:
        colon, secret = ":", quote(password, safe="")
    return f"{scheme}://{user}{colon}{secret}@{hosts}{slash}{path}"


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
