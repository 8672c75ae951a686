"""The unit, the metrics that rules and dashboard ask for, and their expressions."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from deploying_files import load, tool

from modelyard.package.dashboard import dashboard
from modelyard.serve.app import _PATHS, App
from modelyard.serve.generation import TokenMeters
from modelyard.serve.meters import Meters
from modelyard.serve.watching import DriftMeters

# -- systemd, Prometheus, Grafana ----------------------------------------------------------------------------------------


def test_the_unit(folder: Path, tmp_path: Path) -> None:
    command = tool("systemd-analyze")
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", (folder / "modelyard.service").read_text(), flags=re.M)

    def verify(name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        ended = subprocess.run([command, "verify", str(tmp_path / name)], capture_output=True, text=True, check=False)
        return "\n".join(line for line in (ended.stdout + ended.stderr).splitlines() if name in line)

    assert verify("clean.service", text) == ""
    assert "ProtectSytem" in verify("spoilt.service", text.replace("ProtectSystem", "ProtectSytem"))


def expressions(folder: Path) -> list[str]:
    made = json.loads((folder / "grafana-dashboard.json").read_text())
    panels = [target["expr"] for panel in made["panels"] for target in panel["targets"]]
    return [*panels, *(rule["expr"] for group in load(folder / "alerts.yml")["groups"] for rule in group["rules"])]


def unknown_metrics(asked: list[str]) -> set[str]:
    """Metrics that a running service does not show."""
    meters = Meters(name="x", version="1")
    meters.once(TokenMeters)
    meters.once(DriftMeters)
    meters.end("/v1/predict", 200, 0.1)
    meters.rows(1, {"request": 1})
    shown = set()
    for family in meters.registry.collect():
        shown |= {sample.name for sample in family.samples}
        ends = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}
        shown |= {family.name + end for end in ends.get(family.type, ())}
    named = {name for text in asked for name in re.findall(r"\b(?:modelyard|process)_\w+", text)}
    assert named, "nothing was asked"
    return named - shown


def test_metrics_that_exist(folder: Path) -> None:
    assert unknown_metrics(expressions(folder)) == set()
    assert unknown_metrics(["rate(modelyard_request_total[5m])"]) == {"modelyard_request_total"}


def unmatched_paths(asked: list[str]) -> set[str]:
    """Choices of paths that leave out a prediction, as the service counts its paths; such a panel or alert would stay silent."""
    counted = [App.path_of(SimpleNamespace(paths=_PATHS), path) for path in ("/v1/predict", "/v1/models/x/predict")]  # type: ignore[arg-type]
    choices = {choice for text in asked for choice in re.findall(r'path=~"([^"]+)"', text)}
    assert choices, "no path was asked for"
    return {choice for choice in choices if not all(re.fullmatch(choice, path) for path in counted)}


def test_paths_that_are_counted(folder: Path) -> None:
    assert unmatched_paths(expressions(folder)) == set()
    assert unmatched_paths(
        ['x{path=~"/v1/predict|/v1/models/[a-z]+/predict"}']
    )  # the service counts all models as {model}


def test_expressions_are_promql(folder: Path) -> None:
    parser = pytest.importorskip("promql_parser", reason="promql-parser is not installed")
    for text in expressions(folder):
        parser.parse(text.replace("$__rate_interval", "5m").replace("$job", ".*"))
    with pytest.raises(ValueError):
        parser.parse("sum(rate(modelyard_rows_total[5m])")


def test_promtool(folder: Path, tmp_path: Path) -> None:
    command = tool("promtool")

    def status(*words: str) -> int:
        return subprocess.run([command, "check", *words], capture_output=True, check=False).returncode

    assert status("rules", str(folder / "alerts.yml")) == 0
    assert status("config", "--syntax-only", str(folder / "prometheus.yml")) == 0
    (tmp_path / "spoilt.yml").write_text((folder / "alerts.yml").read_text().replace("sum(rate(", "sum(rat(", 1))
    assert status("rules", str(tmp_path / "spoilt.yml"))


def test_the_dashboard_is_whole(folder: Path) -> None:
    made = json.loads((folder / "grafana-dashboard.json").read_text())
    assert made == dashboard("demo") and made["schemaVersion"] >= 39
    panels = made["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == len({panel["title"] for panel in panels})
    spots = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(spots) == len(panels) and all(x + panels[0]["gridPos"]["w"] <= 24 for x, _ in spots)
    variables = {each["name"] for each in made["templating"]["list"]} | {"__rate_interval"}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(made))) == variables
