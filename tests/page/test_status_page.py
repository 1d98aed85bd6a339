"""What people see at `/`: models, workers, queues and predictions, as they change."""

import json
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from contract.ledger.client import Ledger
from contract.ledger.transitions import note_start_failure, register
from contract.ledger.workers import Worker
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

OpenPage = Callable[..., Page]
ECHO, FEELINGS = "local/echo", "acme/feelings"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
DESKTOP = {"width": 1200, "height": 900}


def post(gateway: GatewayThread, model: str = ECHO, text: str = "hi") -> str:
    url = f"{gateway.url}/v1/models/{model}/predictions"
    answer = httpx.post(url, json={"input": {"text": text}}, trust_env=False)
    id: str = answer.raise_for_status().json()["id"]
    return id


def model(page: Page, id: str) -> Locator:
    return page.locator("#models > li").filter(has=page.get_by_text(id, exact=True))


def figures(page: Page, id: str) -> list[str]:
    return model(page, id).locator("dd").all_inner_texts()


def run(page: Page, text: object = None) -> None:
    """Run the form with this input, or with what stands there."""
    expect(page.locator("#model option")).to_have_count(2)
    if text is not None:
        page.get_by_role("textbox", name="Input").fill(json.dumps(text))
    page.get_by_role("button", name="Run").click()


def answer(page: Page) -> Locator:
    return page.locator("#answer")


def stand(page: Page) -> Locator:
    return page.locator("#stand")


# --- what is shown --------------------------------------------------------------------------------


def test_a_model_goes_from_cold_to_starting_to_ready_to_busy(
    page: Page, gateway: GatewayThread, worker: FakeWorker, ledger: Ledger
) -> None:
    chip = model(page, ECHO).locator(".chip")
    expect(chip).to_have_text("cold")
    expect(model(page, ECHO)).to_contain_text("no worker")
    facts = {"device": "cuda:0", "gpu_name": "NVIDIA H200", "gpu_uuid": "GPU-7"}
    ledger.run(register("echo", Worker("pretend", "starting", "loading", **facts)))
    expect(chip).to_have_text("starting")
    expect(model(page, ECHO).locator(".workers")).to_contain_text("NVIDIA H200pretendloading")
    ledger.run(register("echo", Worker("pretend", "ready", **facts)))
    expect(chip).to_have_text("ready")
    for _ in range(40):
        post(gateway)
    worker.claim()
    expect(chip).to_have_text("busy")
    expect(page.locator("#summary")).to_have_text("8 waiting, 32 running")
    assert figures(page, ECHO)[:2] == ["8", "32"]
    assert figures(page, ECHO)[2].endswith(" s")


def test_a_model_whose_workers_cannot_start_says_why_until_one_is_ready(
    page: Page, ledger: Ledger
) -> None:
    row = model(page, ECHO)
    expect(row.locator(".failure")).to_be_hidden()
    ledger.run(note_start_failure("echo", "pretend", "no_device", "no GPU is <b>visible</b>"))
    expect(row.locator(".chip")).to_have_text("failing")
    expect(row.locator(".failure")).to_contain_text("ago: no GPU is <b>visible</b>")
    ledger.run(register("echo", Worker("pretend", "ready")))
    expect(row.locator(".chip")).to_have_text("ready")
    expect(row.locator(".failure")).to_be_hidden()


def test_recent_predictions_are_listed_newest_first_without_their_data(
    page: Page, gateway: GatewayThread, worker: FakeWorker
) -> None:
    expect(page.locator("#none")).to_be_visible()
    post(gateway, text="a secret")
    worker.serve_one(output="another secret")
    post(gateway, FEELINGS)
    rows = page.locator("#recent tr")
    expect(rows).to_have_count(2)
    expect(page.locator("#none")).to_be_hidden()
    assert rows.nth(0).inner_text().split("\t")[:2] == ["waiting", FEELINGS]
    assert rows.nth(1).inner_text().split("\t")[:2] == ["succeeded", ECHO]
    assert "secret" not in page.content()


def test_a_click_shows_a_prediction_in_full(
    page: Page, gateway: GatewayThread, worker: FakeWorker
) -> None:
    id = post(gateway, text="what I asked")
    page.locator("#recent").get_by_role("button", name=ECHO).click()
    dialog = page.get_by_role("dialog", name="Prediction")
    expect(dialog).to_contain_text(id)
    expect(dialog).to_contain_text("what I asked")
    expect(dialog.locator(".chip")).to_have_text("waiting")
    worker.serve_one(output={"vector": [0.125] * 384})
    expect(dialog.locator(".chip")).to_have_text("succeeded")
    expect(dialog).to_contain_text("384 numbers")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_only_a_page_that_is_looked_at_asks(page: Page) -> None:
    page.clock.install()
    page.reload()  # its timers are those of this clock from the start
    expect(page.locator("#pulse")).to_have_text("live")

    def hide(hidden: bool) -> None:
        page.evaluate(
            """hidden => { Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange")); }""",
            hidden,
        )

    hide(True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    assert asked == []
    with page.expect_response("**/v1/status"):
        hide(False)


def test_a_ledger_that_is_away_is_told_and_what_is_shown_is_marked_as_old(
    page: Page, gateway: GatewayThread, monkeypatch: pytest.MonkeyPatch, faults: list[str]
) -> None:
    from contract.errors import LedgerUnavailable

    expect(page.locator("#pulse")).to_have_text("live")

    async def away(transition: object) -> None:
        raise LedgerUnavailable("the ledger does not answer (Test)")

    with monkeypatch.context() as patch:
        patch.setattr(gateway.app.state.context.predictions, "run_transition", away, raising=False)
        notice = page.get_by_role("alert").filter(has_text="The ledger does not answer.")
        expect(notice).to_contain_text("Shown is what was known at")
        expect(page.locator("#pulse")).to_contain_text("stale since")
        expect(page.locator("body")).to_have_attribute("data-stale", "true")
        expect(model(page, ECHO)).to_be_visible()
    expect(page.locator("#pulse")).to_have_text("live")
    expect(page.locator("#notice")).to_be_hidden()
    assert all("503" in fault for fault in faults)
    faults.clear()


def test_the_page_asks_every_two_seconds(open_page: OpenPage) -> None:
    page = open_page(hurry=False)
    page.clock.install()
    page.reload()
    expect(page.locator("#pulse")).to_have_text("live")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(3):
        halves = 0
        while not asked:
            page.clock.run_for(500)
            halves += 1
        assert halves >= 4
        asked.clear()


def test_a_gateway_that_is_away_is_told(page: Page, faults: list[str]) -> None:
    expect(page.locator("#pulse")).to_have_text("live")
    page.route("**/v1/**", lambda route: route.abort())
    expect(page.locator("#notice")).to_contain_text("The gateway does not answer.")
    page.unroute("**/v1/**")
    expect(page.locator("#notice")).to_be_hidden()
    faults.clear()


def test_a_gateway_that_wants_a_key_is_given_one(open_page: OpenPage, faults: list[str]) -> None:
    page = open_page()
    expect(page.locator("#pulse")).to_have_text("live")
    keys: list[str | None] = []

    def guard(route: Route) -> None:
        keys.append(route.request.headers.get("authorization"))
        if keys[-1] == "Bearer sesame":
            route.continue_()
        else:
            route.fulfill(status=401, json={"detail": "no key"})

    page.route("**/v1/**", guard)
    page.get_by_label("API key", exact=True).fill("sesame")
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    run(page)
    expect(stand(page)).to_contain_text("in the queue")
    assert None not in keys[keys.index("Bearer sesame") :]
    faults.clear()


# --- the form -------------------------------------------------------------------------------------


def test_a_prediction_goes_from_the_form_to_its_answer(page: Page, worker: FakeWorker) -> None:
    run(page, {"text": "hello"})
    expect(stand(page)).to_have_text("number 1 in the queue")
    claimed = worker.take()
    assert json.loads(claimed.input) == {"text": "hello"}
    expect(page.locator("#chip")).to_have_text("processing")
    worker.say(claimed, progress=0.4)
    expect(stand(page)).to_have_text("running, 40 % done")
    expect(page.get_by_role("progressbar")).to_be_visible()
    worker.succeed(claimed, {"said": "HELLO"})
    expect(answer(page)).to_have_text('{"said": "HELLO"}')
    expect(page.locator("#chip")).to_have_text("succeeded")
    expect(stand(page)).to_contain_text("ran 500 ms")
    expect(page.get_by_role("button", name="Run")).to_have_attribute("aria-disabled", "false")


def test_the_place_in_the_queue_and_the_time_are_shown(
    page: Page, gateway: GatewayThread, worker: FakeWorker
) -> None:
    post(gateway)
    worker.succeed(worker.take(), seconds=20.0)
    for _ in range(2):
        post(gateway)
    run(page)
    expect(stand(page)).to_have_text("number 3 in the queue, about 1 min")


def test_an_answer_grows_while_it_is_written(page: Page, worker: FakeWorker) -> None:
    run(page)
    claimed = worker.take()
    worker.say(claimed, "Once ", "upon ")
    expect(answer(page)).to_have_text("Once upon ")
    worker.say(claimed, "a time")
    expect(answer(page)).to_have_text("Once upon a time")
    worker.succeed(claimed, "Once upon a time.")
    expect(answer(page)).to_have_text("Once upon a time.")


def test_a_prediction_is_canceled_from_the_form(page: Page, worker: FakeWorker) -> None:
    run(page)
    expect(stand(page)).to_contain_text("in the queue")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#chip")).to_have_text("canceled")
    assert worker.claim() == []


def test_a_failure_is_told_with_its_code(page: Page, worker: FakeWorker) -> None:
    run(page)
    worker.fail(worker.take(), "it broke", "model_error")
    expect(page.locator("#chip")).to_have_text("failed")
    expect(stand(page)).to_have_text("model_error: it broke")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [("{", "This is not JSON"), ("[1]", "must be a JSON object"), ('{"n": 1}', "input: ")],
)
def test_an_input_that_does_not_fit_is_explained_beside_it(
    page: Page, typed: str, sentence: str, faults: list[str]
) -> None:
    expect(page.locator("#model option")).to_have_count(2)
    field = page.get_by_role("textbox", name="Input")
    field.fill(typed)
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#complaint")).to_contain_text(sentence)
    expect(field).to_have_attribute("aria-invalid", "true")
    assert all("422" in fault for fault in faults)
    faults.clear()


def test_the_editor_has_an_example_of_each_model_and_keeps_what_was_typed(page: Page) -> None:
    field = page.get_by_role("textbox", name="Input")
    expect(field).to_have_value('{"text": "Soloist plays one model at a time."}')
    page.get_by_role("combobox", name="Model").select_option(FEELINGS)
    expect(field).to_have_value('{"text": "Win a free cruise, reply now!"}')
    field.fill("{}")
    page.get_by_role("combobox", name="Model").select_option(ECHO)
    page.get_by_role("combobox", name="Model").select_option(FEELINGS)
    expect(field).to_have_value("{}")


def test_the_form_is_filled_and_sent_with_the_keyboard_alone(
    page: Page, worker: FakeWorker
) -> None:
    expect(page.locator("#model option")).to_have_count(2)
    focused: list[str] = []
    for _ in range(8):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", f"the focus on {focused[-1]} is not seen"
        if focused[-1] == "run":
            break
    assert focused == ["A", "model", "input", "run"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+a")
    page.keyboard.type('{"text": "typed"}')
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    claimed = worker.take()
    assert json.loads(claimed.input) == {"text": "typed"}
    assert page.evaluate("document.activeElement.id") == "run"
    worker.succeed(claimed, "answered")
    expect(answer(page)).to_have_text("answered")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "answer"
    expect(page.locator("#recent tr")).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Prediction")).to_be_visible()


# --- what must never happen -------------------------------------------------------------------------


def test_text_of_users_and_models_stays_text(
    page: Page, gateway: GatewayThread, worker: FakeWorker, ledger: Ledger
) -> None:
    """The fixture counts every dialog, error, and request to elsewhere."""
    ledger.run(register("echo", Worker(HOSTILE, "ready", device=HOSTILE, gpu_name=HOSTILE)))
    expect(model(page, ECHO).locator(".workers")).to_contain_text(HOSTILE)
    expect(model(page, FEELINGS)).to_contain_text("<b>bold</b>")
    run(page, {"text": HOSTILE})
    claimed = worker.take()
    worker.say(claimed, HOSTILE, logs=HOSTILE)
    expect(answer(page)).to_have_text(HOSTILE)
    worker.succeed(claimed, HOSTILE)
    expect(page.locator("#chip")).to_have_text("succeeded")
    expect(answer(page)).to_have_text(HOSTILE)
    run(page)
    worker.fail(worker.take(), HOSTILE, "model_error")
    expect(stand(page)).to_contain_text(HOSTILE)
    rows = page.locator("#recent").get_by_role("button")
    expect(rows).to_have_count(2)
    for place in range(2):
        rows.nth(place).click()
        expect(page.get_by_role("dialog")).to_contain_text(HOSTILE)
        page.keyboard.press("Escape")
    assert page.locator("main img, main script, main b, dialog img, dialog script").count() == 0


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data; };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => { for (; node; node = node.parentElement) {
    const color = rgb(getComputedStyle(node).backgroundColor); if (color[3] === 255) return color; } };
  return [...document.querySelectorAll("body *")]
    .filter((node) => node.checkVisibility({ visibilityProperty: true }) && (node.value ||
      [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())))
    .map((node) => { const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.tagName + "." + node.className + " " +
        (node.dataset.word || "")]; });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_on_its_ground(
    open_page: OpenPage, gateway: GatewayThread, worker: FakeWorker, ledger: Ledger, scheme: str
) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5."""
    page = open_page(color_scheme=scheme, viewport=DESKTOP)
    ledger.run(register("echo", Worker("w1", "starting", "loading", "cpu")))
    ledger.run(register("feelings", Worker("w2", "ready", device="cpu")))
    for _ in range(4):
        post(gateway)
    worker.fail(worker.take())
    worker.succeed(worker.take())
    worker.take()
    run(page)
    expect(page.locator("#recent tr")).to_have_count(5)
    page.locator("#recent button").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("Input")
    page.evaluate("document.getElementById('notice').hidden = false")
    page.locator("#notice").evaluate("node => { node.textContent = 'Away' }")
    measured = page.evaluate(CONTRASTS)
    assert len(measured) > 40
    for word in ("ready", "busy", "waiting", "processing", "succeeded", "failed"):
        assert any(name.endswith(word) for _, name in measured), word
    assert [(name, round(ratio, 2)) for ratio, name in measured if ratio < 4.5] == []


def test_the_two_palettes_differ(open_page: OpenPage) -> None:
    grounds = {
        open_page(color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert len(grounds) == 2


@pytest.mark.parametrize("width", [360, 700, 1200])
def test_nothing_is_wider_than_the_window(
    open_page: OpenPage, gateway: GatewayThread, worker: FakeWorker, ledger: Ledger, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 740})
    long = "a-very-long-name-without-any-space-" * 4
    ledger.run(register("echo", Worker(long, "ready", device="cuda:0", gpu_name=long)))
    expect(model(page, ECHO)).to_contain_text(long)
    run(page, {"text": long * 3})
    worker.fail(worker.take(), long * 3)
    expect(stand(page)).to_contain_text(long)
    page.locator("#recent button").first.click()
    expect(page.get_by_role("dialog")).to_contain_text(long)
    wide = page.evaluate(
        "[document.documentElement, document.getElementById('details')]"
        ".map((node) => node.scrollWidth - node.clientWidth)"
    )
    assert wide == [0, 0]


def test_nothing_moves_when_models_and_predictions_change(
    page: Page, gateway: GatewayThread, worker: FakeWorker, ledger: Ledger
) -> None:
    expect(page.locator("#models > li")).to_have_count(2)
    places = "['try', 'answer', 'recent-title'].map((id) => document.getElementById(id).getBoundingClientRect().top)"
    before = page.evaluate(places)
    ledger.run(register("echo", Worker("w1", "ready", device="cpu")))
    expect(model(page, ECHO).locator(".chip")).to_have_text("ready")
    run(page)
    claimed = worker.take()
    worker.say(claimed, "word " * 300, progress=0.5)
    expect(stand(page)).to_have_text("running, 50 % done")
    assert page.evaluate(places) == before
    worker.succeed(claimed, "word " * 600)
    expect(page.locator("#chip")).to_have_text("succeeded")
    assert page.evaluate(places) == before


def test_who_wants_less_motion_gets_none(open_page: OpenPage, gateway: GatewayThread) -> None:
    post(gateway)
    page = open_page(reduced_motion="reduce")
    expect(page.locator("#recent .chip")).to_have_text("waiting")
    assert page.evaluate("document.getAnimations({ subtree: true }).length") == 0
