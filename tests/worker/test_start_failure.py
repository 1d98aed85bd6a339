"""What a worker that cannot start says to everybody: why, and nothing that is a secret or a place on its machine."""

import pytest

from contract.errors import LedgerNewer, LedgerUnsafe, ModelUnloadable, SettingsInvalid
from contract.ledger.client import Ledger
from contract.ledger.transitions import MOST_FAILURE_CHARACTERS, read_models
from contract.ledger.workers import StartFailure
from contract.settings import Settings
from worker import start_failure
from worker.start_failure import MOST_READ, redact


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("models.m: no such task", "models.m: no such task"),
        ("(my-team/spam-classifier) is gated", "(my-team/spam-classifier) is gated"),
        (
            "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
            "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
        ),
        ("the folder /srv/models/spam/ does not exist", "the folder …/spam does not exist"),
        ("no file /srv/m/config.json, no ~/x/y.bin", "no file …/config.json, no …/y.bin"),
        (r"cannot open C:\models\spam\config.json", "cannot open …/config.json"),
        ("cannot reach postgres://u:pw@db.internal:5432/x: no", "cannot reach postgres://… no"),
        ("refused by 10.1.2.3:5432", "refused by …"),
        ("HF_TOKEN=hf_abcdefghijklmnop is wrong", "HF_TOKEN=… is wrong"),
        ("the key sk-proj-0123456789abcdef", "the key …"),
        ('{"password": "hunter2", "user": "me"}', '{"password": …, "user": "me"}'),
        ("Authorization: Bearer abc.def", "Authorization: …"),
        ("blob " + "Ab1" * 20, "blob …"),
        ("two\nlines\x1b[31m", "two lines [31m"),
    ],
)
def test_a_sentence_keeps_what_went_wrong_and_loses_what_is_nobody_elses(
    said: str, left: str
) -> None:
    assert redact(said) == left


def test_what_the_environment_holds_as_a_secret_is_never_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_API_KEY", "correct horse")
    monkeypatch.setenv("DATABASE", "postgres://me:battery-staple@db/x")

    assert redact("login with correct horse or battery-staple failed") == (
        "login with … or … failed"
    )


def test_it_is_no_longer_than_the_ledger_keeps() -> None:
    assert len(redact("word " * 1000)) == MOST_FAILURE_CHARACTERS


def test_a_text_of_any_length_is_read_and_keeps_how_it_begins() -> None:
    for part in ("a-", "a.", "a:", "/a", "token: ", "你"):
        assert redact("why: " + part * 20_000).startswith("why: ")


def test_a_secret_that_the_cut_of_a_long_text_goes_through_is_not_said() -> None:
    url = "http://" + "p" * (MOST_READ - 20)

    assert redact(f"{url} hf_abc{'d' * 3000}") == "http://… …"


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLOIST_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("SOLOIST_PREFIX", settings.prefix)
    monkeypatch.setenv("SOLOIST_DURABILITY", settings.durability)


def failure(ledger: Ledger) -> StartFailure | None:
    return ledger.run(read_models(["m"]))["m"].failure


@pytest.mark.usefixtures("environment")
def test_they_are_in_the_ledger_also_where_another_setting_is_wrong(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_failure.record_start_failure("m", ModelUnloadable("no such model"))
    found = failure(ledger)
    assert found is not None
    assert (found.code, found.detail) == ("model_unloadable", "no such model")

    monkeypatch.setenv("SOLOIST_GRACE_SECONDS", "soon")
    start_failure.record_start_failure("m", SettingsInvalid("SOLOIST_GRACE_SECONDS: not a number"))
    found = failure(ledger)
    assert found is not None
    assert found.code == "settings_invalid"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("error", [LedgerUnsafe("x"), LedgerNewer("x")])
def test_a_ledger_that_is_wrong_for_us_gets_nothing(
    ledger: Ledger, error: LedgerUnsafe | LedgerNewer
) -> None:
    start_failure.record_start_failure("m", error)

    assert failure(ledger) is None


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "no url"])
def test_a_ledger_that_is_away_or_not_named_holds_up_no_end(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("SOLOIST_REDIS_URL", url)
    start_failure.record_start_failure("m", SettingsInvalid("x"))
