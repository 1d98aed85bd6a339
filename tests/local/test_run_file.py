"""What a running `soloist up` leaves for the other commands: they find it, and what is set counts more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import StartRefused
from contract.settings import load_settings
from local.run_file import (
    RunningSoloist,
    gateway_url,
    local_url,
    read_run_file,
    remove_run_file,
    write_run_file,
)


def test_commands_find_the_running_soloist(tmp_path: Path) -> None:
    settings = load_settings()
    assert gateway_url(settings, None) == "http://127.0.0.1:8000"
    write_run_file(
        settings, RunningSoloist(os.getpid(), "http://127.0.0.1:9", "redis://r", "c.yaml")
    )
    assert (tmp_path / ".soloist/up.json").stat().st_mode & 0o077 == 0
    assert gateway_url(settings, None) == "http://127.0.0.1:9"
    assert gateway_url(settings, "http://other:1/") == "http://other:1"
    remove_run_file(settings)
    assert read_run_file(settings) is None


def test_what_is_set_counts_more_than_the_running_soloist(monkeypatch: pytest.MonkeyPatch) -> None:
    write_run_file(
        load_settings(), RunningSoloist(os.getpid(), "http://127.0.0.1:9", "redis://r", "c.yaml")
    )
    monkeypatch.setenv("SOLOIST_PORT", "7")
    assert gateway_url(load_settings(), None) == "http://127.0.0.1:7"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".soloist").write_text("a file where the folder should be")
    with pytest.raises(StartRefused, match=r"cannot write to \.soloist"):
        write_run_file(load_settings(), RunningSoloist(1, "", "", ""))


def test_a_soloist_that_was_killed_is_not_found() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    settings = load_settings()
    write_run_file(settings, RunningSoloist(ended.pid, "http://127.0.0.1:9", "redis://r", "c.yaml"))
    assert read_run_file(settings) is None


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("fe80::1", "http://[fe80::1]:1"),
        ("box", "http://box:1"),
    ],
)
def test_an_address_to_listen_on_becomes_one_to_call(host: str, address: str) -> None:
    assert local_url(host, 1) == address
