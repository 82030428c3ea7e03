"""The page as it is drawn: every tab in a headless Chromium, served as `firn console` serves it.

A browser is not part of the environment: on Debian `apt-get install chromium`.  Without one these tests are skipped.
"""

from __future__ import annotations

import io
import subprocess
import time
import urllib.request

import pytest
from PIL import Image

from local.console import secrets, served
from local.place import free_port
from tests import browser
from tests.console.conftest import HOSTILE, TABS, fail, login

pytestmark = pytest.mark.skipif(browser.found() is None, reason=f"no browser on PATH: looked for {', '.join(browser.NAMES)}")

SETTLED = (
    "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
    " && !document.querySelector('[data-stale=true], [data-testid=stSkeleton]')"
)
SAYS = {
    "Runs": ["Run now", "Retry what failed", "data. Rows are to blame"],
    "Freshness": ["Later than allowed: fact_orders"],
    "Quarantine": ["2 rows wait", "What would pass now?", "Correct a row"],
    "Accounts": ["in every step of the log", "Reconcile"],
    "History": ["Type the customer_id of one customer"],
    "KPIs": ["gold.monthly, the table that BI reads"],
    "Cost": ["Seconds of the steps in the last 30 days"],
    "Setup": ["tasks", "Bronze"],
}
CHART = "document.querySelectorAll('[data-testid=stVegaLiteChart] svg, [data-testid=stVegaLiteChart] canvas')"
MADE_OF_TEXT = "img[src*=beyond], a[href*=beyond], .katex"
CHARTS = {"Runs": 2, "Quarantine": 1, "KPIs": 1, "Cost": 1}


@pytest.fixture(scope="module")
def failing(filled):
    """The page's application with a failure whose error quotes a value that would be more than a text."""
    fail(filled, "load orders", HOSTILE, "data")
    return filled


@pytest.fixture(scope="module")
def opened(failing, tmp_path_factory):
    """A browser at the page."""
    folder = tmp_path_factory.mktemp("browser")
    port = free_port()
    with (folder / "streamlit.log").open("wb") as log:
        server = subprocess.Popen(**served(port, secrets(folder, login(failing))), stdout=log, stderr=log)
        try:
            answers(f"http://127.0.0.1:{port}/_stcore/health")
            with browser.chromium(folder) as made:
                made.size(1400, 1000)
                made.open(f"http://127.0.0.1:{port}")
                made.wait(f"{SETTLED} && document.querySelector('[role=radiogroup]')", seconds=60)
                yield made
        finally:
            server.terminate()
            server.wait(10)


def answers(url: str, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            assert time.monotonic() < until, f"{url} did not answer in {seconds} s"
            time.sleep(0.1)


def choose(page: browser.Browser, tab: str) -> None:
    """Presses a tab and waits until it is drawn."""
    page.evaluate(f"[...document.querySelectorAll('[role=radiogroup] label')].find(label => label.innerText.trim() === '{tab}').click()")
    for text in SAYS[tab]:
        page.wait(f"{SETTLED} && document.body.innerText.includes({text!r})")
    page.wait(f"{CHART}.length >= {CHARTS.get(tab, 0)}")


def colours(png: bytes) -> int:
    return len(Image.open(io.BytesIO(png)).convert("RGB").getcolors(1 << 24) or [])


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_is_drawn_shows_texts_as_texts_and_asks_nobody_beyond_this_machine(opened, tab, tmp_path):
    choose(opened, tab)
    picture = opened.picture(tmp_path / f"{tab}.png")
    # then the picture has more than a blank page, and no box with a traceback stands in it
    assert colours(picture.read_bytes()) > 50
    assert not opened.evaluate("document.querySelector('[data-testid=stException], [data-testid=stExceptionMessage]')?.innerText || ''")
    assert "Traceback" not in opened.text()
    # and the error stands on it letter by letter: no link, no image, no formula was made of it or of the waiting row
    assert HOSTILE in opened.text()
    assert opened.evaluate(f"document.querySelectorAll({MADE_OF_TEXT!r}).length") == 0
    assert opened.complaints == []
    assert opened.beyond_loopback() == []


def test_the_history_of_a_key_is_typed_and_drawn(opened):
    choose(opened, "History")
    opened.evaluate("document.querySelector('input[aria-label=customer_id]').focus()")
    opened.type("4")
    opened.wait(f"{SETTLED} && document.body.innerText.includes('1 versions in gold.dim_customer')")
    opened.wait(f"{CHART}.length")
    assert opened.evaluate(f"document.querySelectorAll({MADE_OF_TEXT!r}).length") == 0
    assert opened.beyond_loopback() == []


def test_a_request_beyond_this_machine_would_be_seen(opened):
    opened.evaluate("fetch('http://beyond.invalid/seen').catch(() => 0)")
    assert opened.beyond_loopback() == ["http://beyond.invalid/seen"]
