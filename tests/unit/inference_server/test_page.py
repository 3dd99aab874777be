"""The page for people: what is served, and what a person, a keyboard and a screen reader find in a real browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_server import page

from .browser import Browser, find_browser
from .model_bundles import NAMES, Bundle, to_lists, with_histograms
from .server_thread import ThreadedServer

ROOT = Path(__file__).resolve().parents[3]
AXE = ROOT / "tests/node_modules/axe-core/axe.min.js"
DRAWN = f"document.querySelectorAll('#contributions tbody tr').length === {len(NAMES) + 2}"
PATHS = ("/", "/page.css", "/page.js", "/icon.svg")


@pytest.fixture(scope="module")
def served(
    start_server: Callable[..., ThreadedServer], housing_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> ThreadedServer:
    """A server whose bundle has histograms."""
    return start_server(with_histograms(housing_bundle, tmp_path_factory.mktemp("profiled")))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests here."""
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    started = Browser(path, tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@dataclass
class Visit:
    """A page that is open and has shown a prediction."""

    browser: Browser
    server: ThreadedServer

    def __post_init__(self) -> None:
        self.browser.console_messages.clear()
        self.browser.requests.clear()
        self.open()

    def open(self, **looks: Any) -> None:
        """Open the page anew."""
        self.browser.open(f"http://127.0.0.1:{self.server.port}/", **looks)
        self.browser.wait_until(DRAWN)

    def enter(self, name: str, text: str) -> None:
        """Type into a feature's field, as a keyboard does."""
        self.browser.evaluate(f"document.querySelector('input[name={name}]').select()")
        self.browser.evaluate(f"document.querySelector('input[name={name}]').focus()")
        if text:
            self.browser.call("Input.insertText", text=text)
        else:
            self.browser.press("Delete", 46)

    def text(self, selector: str) -> str:
        """Give an element's text."""
        return self.browser.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element holds a text."""
        self.browser.wait_until(
            f"document.querySelector({json.dumps(selector)}).textContent.includes({json.dumps(text)})"
        )

    def axe(self) -> list[str]:
        """Give what axe-core complains of."""
        if not AXE.exists():
            pytest.skip("axe-core isn't there: make browser")
        self.browser.evaluate(AXE.read_text())
        violations = self.browser.evaluate("axe.run(document).then((result) => result.violations)")
        return [f"{each['id']}: {node['html']}" for each in violations for node in each["nodes"]]


@pytest.fixture
def visit(browser: Browser, served: ThreadedServer) -> Visit:
    """A person on the page."""
    return Visit(browser, served)


def format_number(value: float) -> str:
    """Write a number as the page does: six digits, thousands apart."""
    return f"{float(f'{value:.6g}'):,.10g}"


# --- what is served ---


def test_page_has_a_strict_content_security_policy(served: ThreadedServer) -> None:
    """Page, script and styles come with a policy that allows this server's own files and nothing inline."""
    for path in PATHS:
        answer = served.send("GET", path)
        assert answer.status == 200
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_page_has_no_foreign_hosts_and_nothing_inline(served: ThreadedServer) -> None:
    """No file names another host, the page has no inline script or style, and addresses are relative to work below a
    path.
    """
    for path in PATHS:
        text = served.send("GET", path).body.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z]", text), path
    html = served.send("GET", "/").body.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*src=)", html)
    assert not re.search(r"(href|src)=\"/", html)


def test_only_the_files_of_the_page_are_served(served: ThreadedServer) -> None:
    """What lies in the package is exactly what can be asked for: no directory is served."""
    here = {path.name for path in Path(page.__file__).parent.iterdir() if path.suffix not in {".py", ".pyc"}}
    assert here - {"__pycache__"} == {"index.html", "page.css", "page.js", "icon.svg"}
    for path in ("/page/", "/page/__init__.py", "/..", "/page/../engine.py", "/index.html", "/%2e%2e/engine.py"):
        assert served.send("GET", path).status == 404


def test_post_to_the_root_keeps_the_seed_contract(served: ThreadedServer, housing_bundle: Bundle) -> None:
    """POST / is still the seed's."""
    row = ",".join("" if value is None else str(value) for value in to_lists(housing_bundle.rows[:1])[0])
    assert set(served.send("POST", "/", {"pred_x_csv": row}).json) == {"Predicted value"}


# --- what a person finds ---


def test_form_follows_the_signature(visit: Visit) -> None:
    """There is a labelled field and a slider per feature, in the model's order, with its training range, at
    its mean.
    """
    model = visit.server.send("GET", "/model").json
    fields = visit.browser.evaluate(
        "[...document.querySelectorAll('.feature')].map((part) => ({name: part.querySelector('label').textContent,"
        "value: Number(part.querySelector('input').value), range: part.querySelector('.range').textContent,"
        "slider: part.querySelector('[type=range]').getAttribute('aria-label')}))"
    )
    assert [field["name"] for field in fields] == list(NAMES)
    for field, feature in zip(fields, model["features"], strict=True):
        assert field["value"] == pytest.approx(feature["mean"], rel=1e-3)
        low, high = field["range"].split(" to ")
        assert (float(low), float(high)) == pytest.approx((feature["min"], feature["max"]), rel=1e-4)
        assert feature["name"] in field["slider"]


def test_prediction_and_contributions_follow_the_form(visit: Visit) -> None:
    """A typed value changes the prediction to what /predict says; bias and contributions add up to it."""
    visit.enter("median_income", "1.25")
    visit.enter("population", "")
    row: dict[str, Any] = dict.fromkeys(NAMES)
    for name in NAMES:
        text = visit.browser.evaluate(f"document.querySelector('input[name={name}]').value")
        row[name] = float(text) if text else None
    assert (row["median_income"], row["population"]) == (1.25, None)
    (expected,) = visit.server.send("POST", "/predict", {"instances": [row]}).json["predictions"]
    visit.shows("#value", format_number(expected))
    cells = visit.browser.evaluate(
        "[...document.querySelectorAll('#contributions tbody tr')]"
        ".map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    start, *shares, end = [float(cells_of_row[-1].replace(",", "")) for cells_of_row in cells]
    assert start + sum(shares) == pytest.approx(end, abs=0.01 * max(map(abs, shares)))
    assert end == pytest.approx(expected, rel=1e-4)
    assert ["population", "missing"] in [row[:2] for row in cells]


def test_unusual_values_are_reported(visit: Visit) -> None:
    """Outside the training range is a remark; what is no number, or none that fits, is refused beside its field."""
    visit.enter("median_income", "1000")
    visit.shows(".note", "outside the training range")
    visit.enter("median_income", "many")
    visit.shows(".note", "not a number")
    visit.shows("#problem", "not a number")
    visit.enter("median_income", "1e39")
    visit.shows(".note", "32-bit float")
    assert (
        visit.browser.evaluate("document.querySelector('[name=median_income]').getAttribute('aria-invalid')") == "true"
    )
    visit.enter("median_income", "1")
    visit.browser.wait_until("document.getElementById('problem').hidden")


def test_form_input_does_not_count_as_drift(visit: Visit) -> None:
    """However much the form is played with, the drift window doesn't fill."""
    before = visit.server.send("GET", "/drift").json["rows"]
    visit.enter("median_income", "0.5")
    visit.browser.wait_until("document.querySelector('#contributions').textContent.includes('0.5')")
    assert visit.server.send("GET", "/drift").json["rows"] == before


def test_page_is_usable_by_keyboard(visit: Visit) -> None:
    """Tab reaches every control; arrows move sliders and tabs; Enter in a field predicts."""
    seen: list[str] = []
    for _ in range(60):
        visit.browser.press("Tab", 9)
        here = visit.browser.evaluate(
            "(({activeElement: e}) => e.id || e.getAttribute('aria-label') || e.className || e.textContent)(document)"
        )
        if here in seen:
            break
        seen.append(here)
    wanted = [*(f"f{index}" for index in range(len(NAMES))), *(f"{name}, as a slider" for name in NAMES)]
    assert {*wanted, "skip", "reset", "primary", "tab-curl", "copy"} <= set(seen)
    visit.browser.evaluate("document.querySelector('[type=range]').focus()")
    before = visit.browser.evaluate("document.getElementById('f0').value")
    visit.browser.press("ArrowRight", 39)
    visit.browser.wait_until(f"document.getElementById('f0').value !== {json.dumps(before)}")
    visit.browser.evaluate("document.getElementById('tab-curl').focus()")
    visit.browser.press("ArrowRight", 39)
    assert (
        visit.browser.evaluate("document.activeElement.id + document.getElementById('curl').hidden") == "tab-pythontrue"
    )
    visit.enter("latitude", "0.125")
    visit.browser.press("Enter", 13, "\r")
    visit.browser.wait_until("document.querySelector('#contributions').textContent.includes('0.125')")


def test_snippets_give_the_displayed_prediction(visit: Visit) -> None:
    """The curl line and the Python lines, run as they stand, give the prediction that the page shows."""
    visit.enter("median_income", "")
    visit.shows("#curl code", '"median_income": null')
    visit.browser.wait_until(DRAWN)
    shell, python = visit.text("#curl code"), visit.text("#python code")
    outputs = [
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=_environment()).stdout
        for command in (["sh", "-c", f"{shell} -sS"], [sys.executable, "-c", python])
    ]
    value = json.loads(outputs[0])["predictions"]
    assert json.loads(outputs[1]) == value
    visit.shows("#value", format_number(value[0]))


def _environment() -> dict[str, str]:
    return {**os.environ, "no_proxy": "*", "PYTHONPATH": str(ROOT)}


def test_page_requests_only_its_own_server(visit: Visit) -> None:
    """All requests go to the server itself, and the console has nothing to say."""
    visit.enter("median_income", "2")
    visit.shows("#contributions", "2")
    visit.browser.evaluate("document.querySelector('.copy').click()")
    visit.shows("#copied", "C")
    assert visit.browser.requests
    assert all(url.startswith(f"http://127.0.0.1:{visit.server.port}/") for url in visit.browser.requests)
    assert visit.browser.console_messages == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_page_has_no_accessibility_violations(visit: Visit, housing_bundle: Bundle, scheme: str, width: int) -> None:
    """Light and dark, wide and narrow, with drift shown and a value refused: no violation, and nothing wider than the
    page.
    """
    rows = housing_bundle.rows.copy()
    rows[:, 0] += 3
    visit.server.send("POST", "/predict", {"instances": to_lists(rows)})
    visit.open(scheme=scheme, width=width)
    visit.shows("#drift-state", "drifted")
    assert visit.axe() == []
    visit.enter("median_income", "x")
    visit.shows("#problem", "not a number")
    visit.browser.evaluate("document.getElementById('tab-python').click()")
    assert visit.axe() == []
    assert visit.browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_drift_is_displayed(visit: Visit, housing_bundle: Bundle) -> None:
    """Before enough rows it says how many have come; then how many columns drifted, each with a chart and its index."""
    report = visit.server.send("GET", "/drift").json
    if report["rows"] < report["enough"]:
        visit.shows("#drift-state", f"{report['rows']} of {report['enough']} rows")
    rows = np.tile(housing_bundle.rows, (10, 1))
    rows[:, 0] += 3
    visit.server.send("POST", "/predict", {"instances": to_lists(rows)})
    report = visit.server.send("GET", "/drift").json
    columns = [report["prediction"], *report["features"]]
    visit.open()
    shifted = sum(column["level"] == "shifted" for column in columns)
    visit.shows("#drift-state", f"{shifted} of {len(columns)}: drifted")
    cards = visit.browser.evaluate(
        "[...document.querySelectorAll('#drifts li')].map((card) => [card.className, card.textContent,"
        "card.querySelectorAll('rect').length])"
    )
    for (level, text, bars), column in zip(cards, columns, strict=True):
        assert (level, bars) == (column["level"], len(column["bins"]["window"]))
        assert f"PSI {column['psi']:.2f}" in text


def test_accessibility_check_detects_a_violation(visit: Visit) -> None:
    """A planted field without a label is found."""
    visit.browser.evaluate("document.querySelector('main').append(document.createElement('input'))")
    assert any(complaint.startswith("label:") for complaint in visit.axe())


def test_classes_are_displayed_and_explained(
    browser: Browser, start_server: Callable[..., ThreadedServer], train_bundle: Callable[..., Bundle]
) -> None:
    """A model of classes shows each class' share, and explains the class that is chosen."""
    visit = Visit(browser, start_server(train_bundle("multi:softprob")))
    assert browser.evaluate("document.querySelectorAll('#value .class').length") == 3
    before = visit.text("#contributions")
    browser.evaluate(
        "(() => {const s = document.getElementById('class'); s.value = '2'; s.dispatchEvent(new Event('change'))})()"
    )
    assert visit.text("#contributions") != before
    assert visit.axe() == []
