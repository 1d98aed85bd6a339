"""URLs of ledger and broker: taken apart exactly, shown without their passwords; test_settings.py has what is refused."""

import pytest

from contract.addresses import (
    NO_URL,
    Sentinels,
    behind_sentinel,
    describe_place,
    read_sentinels,
    read_url,
    split_url,
    with_credentials,
)

PIECE = "hunter2"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://ledger", "ledger:6379"),
        ("rediss://ledger:7000/1", "ledger:7000"),
        ("amqp://broker//", "broker:5672"),
        ("amqps://broker", "broker:5671"),
        ("redis:///0", "localhost:6379"),
        ("redis+sentinel://a,[::1]:7/main", "main (sentinels a:26379, [::1]:7)"),
    ],
)
def test_a_place_is_said_with_its_port_and_without_a_password(url: str, place: str) -> None:
    assert describe_place(url) == place
    scheme, _, rest = url.partition("://")
    assert describe_place(f"{scheme}://user:{PIECE}@{rest}") == place


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+sentinel", "rediss+sentinel"])
def test_a_url_is_read_as_what_its_scheme_says(scheme: str) -> None:
    url = f"{scheme}://host/main"

    assert behind_sentinel(url) == scheme.endswith("+sentinel")
    assert isinstance(read_url(url), Sentinels) == behind_sentinel(url)


def test_tls_of_sentinels_follows_from_the_scheme() -> None:
    assert read_sentinels("rediss+sentinel://a/main").tls
    assert not read_sentinels("redis+sentinel://a/main").tls


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PIECE}/3@ledger:6379/0",
        f"redis://:{PIECE}#3@ledger:6379/0",
        f"redis://ledger:{PIECE}/0",
        "redis://[::1/0",
    ],
)
def test_what_is_no_url_is_refused_without_showing_a_piece_of_it(url: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded") as refused:
        split_url(url)

    assert str(refused.value) == NO_URL


@pytest.mark.parametrize("odd", ["p@ss/w:rd#%", "a?b", "ü ", ":"])
@pytest.mark.parametrize("host", ["redis://ledger:6379/0", "redis+sentinel://a:1,b:2/main/3"])
def test_a_login_that_is_given_apart_comes_out_of_the_url_as_it_went_in(
    host: str, odd: str
) -> None:
    url = with_credentials(host, odd, odd)

    if behind_sentinel(url):
        parts = read_sentinels(url)
        assert (parts.username, parts.password) == (odd, odd)
        assert parts.addresses == (("a", 1), ("b", 2))
    else:
        assert url.count("@") == 1
        assert describe_place(url) == "ledger:6379"


def test_a_login_that_is_not_given_leaves_the_url_as_it_is() -> None:
    for url in ("redis://ledger/0", f"redis://u:{PIECE}@ledger/0"):
        assert with_credentials(url, None, None) == url


def test_a_password_that_is_given_apart_keeps_the_user_of_the_url() -> None:
    assert with_credentials("redis://u@ledger/0", None, "p") == "redis://u:p@ledger/0"
    assert with_credentials("redis://ledger/0", None, "p") == "redis://:p@ledger/0"
