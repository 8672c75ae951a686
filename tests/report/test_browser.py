"""The report in a real browser, on a desk and on a phone: it says nothing on the console, asks for nothing and is not too wide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import report_builds as builds
from report_browser import CHROMIUM, Browser

from modelyard.report import write

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_is_quiet_whole_and_not_too_wide(
    browser: Browser, tmp_path: Path, language: str, width: int
) -> None:
    page = write(builds.make(tmp_path), language=language)
    found = browser.open(page, width=width)
    assert found["console"] == []
    assert found["requests"] == [page.as_uri()]
    assert found["inner"] == width and found["scroll"] <= width


def test_a_loud_greedy_and_wide_page_would_be_found(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    asked = "http://127.0.0.1:9/pixel.png"
    page.write_text(f"<p style='width: 2000px'>wide</p><img src='{asked}'><script>console.error('loud')</script>")
    found = browser.open(page, width=390)
    assert any(given.get("args", [{}])[0].get("value") == "loud" for given in found["console"])
    assert asked in found["requests"] and found["scroll"] >= 2000
