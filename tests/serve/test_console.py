"""The console in a real browser, at a desk and on a phone: signing in, a customer from key to answer, versions, what happens now."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_helpers import ROW, Running, make_drift_reference, make_key, make_package, make_records, until

from modelyard.serve.console import console
from modelyard.serve.deployment import DeploymentFile

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WIDTHS = {"desk": 1280, "phone": 390}

MEASURED = (
    "value", "length", "digits", "uppercase", "punctuation", "spaces", "other_scripts", "word", "brightness", "contrast", "saturation",
    "edges", "dark", "light", "mean", "spread", "class", "confidence",
)  # fmt: skip

browser = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium (apt-get install chromium chromium-driver)"),
]


class Page:
    """The console, opened and driven."""

    def __init__(self, url: str, *, width: int) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        self.url = url
        self.driver.get(f"{url}/console")

    def do(self, script: str, *given: Any) -> Any:
        return self.driver.execute_script(script, *given)

    def section(self, name: str) -> None:
        self.do("location.hash = arguments[0]", name)
        heading = name.capitalize()
        self.wait("return document.querySelector('main h1')?.textContent === arguments[0]", heading)

    def wait(self, script: str, *given: Any) -> Any:
        """What the script returns once it returns something; it may act, so it is not run again."""
        found: list[Any] = []
        until(lambda: found.append(self.do(script, *given)) or found[-1])
        return found[-1]

    def press(self, text: str) -> None:
        """A button or link by what it says."""
        script = (
            "const found = [...document.querySelectorAll('dialog[open] button, button, nav a')].find((each) => each.textContent.trim() === arguments[0]);"
            "found?.click(); return Boolean(found)"
        )
        assert self.wait(script, text)

    def fill(self, label: str, text: str) -> None:
        """An input by its label, as if typed."""
        script = (
            "const label = [...document.querySelectorAll('label')].find((each) => each.textContent.trim().startsWith(arguments[0]));"
            "const input = document.getElementById(label.htmlFor); input.value = arguments[1];"
            "input.dispatchEvent(new Event('input', { bubbles: true })); input.dispatchEvent(new Event('change', { bubbles: true }))"
        )
        self.do(script, label, text)

    def text(self) -> str:
        return str(self.do("return document.body.innerText"))

    def asked(self) -> set[str]:
        """Addresses that the page asked for."""
        return set(
            re.findall(
                r'"url":"(https?://[^"]+)"', " ".join(each["message"] for each in self.driver.get_log("performance"))
            )
        )


@pytest.fixture(scope="module")
def service(
    model_folder: Path, tmp_path_factory: pytest.TempPathFactory, launch: Callable[..., Running]
) -> tuple[Running, Path]:
    folder = tmp_path_factory.mktemp("console")
    package = make_package(model_folder, folder / "v1", reference=make_drift_reference(model_folder))
    running = launch("-m", "modelyard.serve.server", str(package), "--state", str(folder / "state"), "--port", "0")
    until(lambda: httpx.get(f"{running.url}/readyz").status_code == 200)
    return running, folder / "state"


@pytest.fixture(params=list(WIDTHS))
def page(request: pytest.FixtureRequest, service: tuple[Running, Path]) -> Iterator[Page]:
    made = Page(service[0].url, width=WIDTHS[request.param])
    yield made
    made.driver.quit()


def signed_in(page: Page, state: Path) -> Page:
    page.press("Sign in")
    page.fill("Token", (state / "admin.token").read_text().strip())
    page.do(
        "[...document.querySelectorAll('dialog[open] button')].find((each) => each.textContent === 'Sign in').click()"
    )
    page.wait(
        "return !document.querySelector('dialog[open]') && document.getElementById('sign').textContent === 'Sign out'"
    )
    return page


def test_every_part_of_the_page_is_in_it() -> None:
    html = console()
    assert "__STYLE__" not in html and "__SCRIPT__" not in html
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "") and "https://" not in html
    used = set(re.findall(r"\bwords\.([A-Za-z0-9]+)", html))
    known = set(re.findall(r"^\s*(\w+):|[,{] (\w+): ", html, re.M))
    assert used - {name for pair in known for name in pair} == set()


def test_what_is_said_of_drift_is_said_in_both_languages() -> None:
    script = console().split("const ofDrift = {")[1].split("words.drift =")[0]
    english, chinese = (re.findall(r"(\w+): (?=[(\"{])", part) for part in script.split("  zh: {"))
    assert len(english) > 35 and [name for name in english if name != "en"] == chinese
    assert set(MEASURED) <= set(english)


class TestInABrowser:
    pytestmark = browser

    def test_a_stranger_sees_the_playground_and_nothing_else(self, page: Page) -> None:
        page.wait("return document.querySelectorAll('main form label').length > 3")
        page.press("Send")
        page.wait("return document.body.innerText.includes('a key is needed')")
        for section in ("live", "models", "customers", "drift"):
            page.section(section)
            page.wait("return document.body.innerText.includes('for the administrator')")
        page.press("Sign in")
        page.fill("Token", "guess")
        page.do(
            "[...document.querySelectorAll('dialog[open] button')].find((each) => each.textContent === 'Sign in').click()"
        )
        page.wait("return document.getElementById('toast').textContent.includes('not accepted')")

    def test_a_customer_from_key_to_answer_to_invoice(self, page: Page, service: tuple[Running, Path]) -> None:
        signed_in(page, service[1])
        page.section("customers")
        name = f"Kestrel {time.time_ns()}"
        page.fill("name", name)
        page.press("Create")
        page.wait("return document.querySelector('main').innerText.includes('Keys: ' + arguments[0])", name)
        page.press("New key")
        key = page.wait("return document.getElementById('new-key')?.textContent")
        page.press("Close")
        page.wait("return document.getElementById('dialog').childElementCount === 0")
        assert key.startswith("yard_") and key not in page.do("return document.documentElement.outerHTML")
        page.section("playground")
        page.fill("Key", key)
        page.fill("note", "very late")
        page.press("Send")
        assert page.wait("return document.querySelector('.answer')?.textContent") == "bad"
        page.fill("age", "old")
        page.press("Send")
        page.wait("return document.querySelector('[aria-invalid=true]') !== null")
        page.section("customers")
        page.wait("return document.querySelector('main').innerText.includes('Invoice PDF')")
        used = page.wait(
            "return [...document.querySelectorAll('.panel')].find((each) => each.innerText.startsWith('Usage'))?.innerText"
        )
        assert re.search(r"request\s+standard\s+1\b", used)

    def test_requests_are_seen_as_they_come(self, page: Page, service: tuple[Running, Path]) -> None:
        running, state = service
        signed_in(page, state)
        page.section("live")
        with httpx.Client(headers={"Authorization": f"Bearer {make_key(state)}"}) as client:
            for _ in range(5):
                client.post(f"{running.url}/v1/predict", json={"row": ROW})
        page.wait(
            "return document.querySelectorAll('main tbody tr').length >= 5 && document.querySelectorAll('polyline').length === 3"
        )
        assert "predict" in page.text()

    def test_a_trial_is_shown_and_ended(
        self, page: Page, service: tuple[Running, Path], model_folder: Path, tmp_path: Path
    ) -> None:
        _, state = service
        signed_in(page, state)
        DeploymentFile(state).try_out(
            make_package(model_folder, tmp_path / "v2", version="2.0.0"), now=time.time(), percent=5
        )
        until(lambda: DeploymentFile(state).read().models["standing"].trial is not None)
        page.section("models")
        deadline = time.monotonic() + 20
        while "canary, 5 % of the requests" not in page.text():
            assert time.monotonic() < deadline, page.text()
            page.section("live")
            page.section("models")
            time.sleep(0.3)
        page.press("End the trial")
        page.fill("Why?", "only a test")
        page.do("[...document.querySelectorAll('dialog[open] button')].pop().click()")
        until(lambda: DeploymentFile(state).read().models["standing"].trial is None)
        assert DeploymentFile(state).read().models["standing"].events[-1].reason == "only a test"

    def test_labels_and_the_months_earning_are_told(self, page: Page, service: tuple[Running, Path]) -> None:
        running, state = service
        customer = httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {make_key(state)}"})
        answer = customer.post("/v1/predict", json={"rows": [ROW] * 5})
        labels = [one["answer"] for one in answer.json()["answers"][:4]] + [None]
        body = {"request_id": answer.headers["x-request-id"], "labels": labels}
        assert customer.post("/v1/feedback", json=body).json()["recorded"] == 4
        signed_in(page, state)
        page.section("models")
        assert re.search(r"1\.0\.0: 100\.0 % right of \d+ judged \(\d", page.text())
        page.section("customers")
        assert "This month until now" in page.text() and "price of a machine is not known" in page.text()

    def test_a_planted_shift_is_seen_and_named(self, page: Page, service: tuple[Running, Path]) -> None:
        running, state = service
        signed_in(page, state)
        page.section("drift")
        page.wait("return document.body.innerText.includes('of 100 rows of this window have come')")
        older = [{**record, "age": (record["age"] or 50) + 30} for record in make_records(250, seed=5)]
        with httpx.Client(headers={"Authorization": f"Bearer {make_key(state)}"}) as client:
            for start in range(0, 250, 50):
                assert (
                    client.post(f"{running.url}/v1/predict", json={"rows": older[start : start + 50]}).status_code
                    == 200
                )
        page.wait("return document.body.innerText.includes('Drift in the last window')")
        assert "from" in page.text() and "→" in page.text()
        chart = page.do("return document.querySelector('svg.bars').getAttribute('aria-label')")
        assert chart.startswith("age: below ") and " → " in chart
        assert page.do("return document.querySelectorAll('svg.bars rect.now').length") > 5
        assert page.do("return document.querySelectorAll('.strip .found').length") >= 1
        assert page.do("return document.documentElement.scrollWidth <= innerWidth")

    def test_it_asks_nobody_else_fits_and_can_be_used_without_a_mouse(
        self, page: Page, service: tuple[Running, Path]
    ) -> None:
        signed_in(page, service[1])
        for section in ("playground", "live", "models", "customers", "drift"):
            page.section(section)
            page.wait("return document.querySelectorAll('main .panel').length > 0")
            unnamed = page.do(
                "return [...document.querySelectorAll('input, select, textarea, button')].filter((each) => !each.labels?.length && !each.getAttribute('aria-label') && !each.textContent.trim()).length"
            )
            assert unnamed == 0, section
            assert page.do("return document.documentElement.scrollWidth <= innerWidth"), section
        assert {address for address in page.asked() if not address.startswith(page.url)} == set()
        errors = [each["message"] for each in page.driver.get_log("browser") if each["level"] == "SEVERE"]
        assert errors == []
