"""Who may fetch when: the blueprint's `downloads`, and the environment's last word."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard import downloads


@pytest.mark.parametrize(("policy", "forbidden"), [("never", "downloads: never"), ("build", ""), ("always", "")])
def test_a_policy_holds_inside_its_block(policy: Any, forbidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with downloads.obeying(policy):
        assert downloads.forbidden() == forbidden
    assert downloads.forbidden() == ""


@pytest.mark.parametrize(
    ("given", "forbidden"), [("1", "HF_HUB_OFFLINE=1"), ("true", "HF_HUB_OFFLINE=true"), ("0", ""), ("", "")]
)
def test_the_environment_forbids_what_the_blueprint_allows(
    given: str, forbidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", given)
    with downloads.obeying("always"):
        assert downloads.forbidden() == forbidden
    with downloads.obeying("never"):
        assert downloads.forbidden() == "downloads: never"
