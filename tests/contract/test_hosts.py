"""Which names a process answers to."""

import pytest

from contract.hosts import Hosts
from contract.settings import Settings

LOOPBACK = (
    "localhost",
    "LOCALHOST:8000",
    "localhost.",
    "app.localhost:1",
    "127.0.0.1:8000",
    "127.9.9.9",
    "[::1]:8000",
    "[::1]",
)
FOREIGN = (
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "notlocalhost",
    "user@localhost",
    "localhost/evil",
    "[::1",
    "a:b:c",
    "",
)


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_process_on_the_loopback_answers_to_loopback_names(host: str) -> None:
    assert Hosts(Settings(host="127.0.0.1")).allow(host)
    assert Hosts(Settings(host="::1")).allow(host)


@pytest.mark.parametrize("host", [*FOREIGN, "10.1.2.3", "192.168.0.1:8000", "[fe80::1]:8000"])
def test_a_process_on_the_loopback_answers_to_no_other_name(host: str) -> None:
    assert not Hosts(Settings(host="127.0.0.1")).allow(host)


@pytest.mark.parametrize("host", [*LOOPBACK, *FOREIGN, "10.1.2.3:8000"])
def test_a_process_on_the_network_answers_to_any_name_unless_told_otherwise(host: str) -> None:
    assert Hosts(Settings(host="0.0.0.0")).allow(host)


@pytest.mark.parametrize("listens", ["127.0.0.1", "0.0.0.0"])
def test_the_names_of_the_settings_are_those_it_answers_to(listens: str) -> None:
    hosts = Hosts(Settings(host=listens, allowed_hosts="api.example.org, *.internal"))
    for host in ("api.example.org", "API.example.org:443", "gateway.internal", *LOOPBACK):
        assert hosts.allow(host)
    for host in ("example.org", "internal", "xapi.example.org", *FOREIGN):
        assert not hosts.allow(host)


def test_an_address_cannot_be_rebound_so_probes_by_address_go_on() -> None:
    hosts = Hosts(Settings(host="0.0.0.0", allowed_hosts="api.example.org"))
    assert hosts.allow("10.1.2.3:8000")
    assert hosts.allow("[2001:db8::1]:8000")


def test_a_star_is_any_name_also_on_the_loopback() -> None:
    assert Hosts(Settings(host="127.0.0.1", allowed_hosts="*")).allow("evil.example")


def test_the_name_in_the_public_url_is_ours() -> None:
    hosts = Hosts(Settings(host="127.0.0.1", public_url="https://api.example.org/soloist"))
    assert hosts.allow("api.example.org")
    assert not hosts.allow("evil.example")


def test_a_request_without_a_name_is_no_browsers() -> None:
    assert Hosts(Settings(host="127.0.0.1")).allow(None)
