"""Dockerfile and compose: small, closed, nobody's root; each rule with a planted fault."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deploying_files import Json, load, tool

# -- the image -----------------------------------------------------------------------------------------------------------


def image_faults(text: str) -> set[str]:
    """What a Dockerfile of ours must not be."""
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line and not line.startswith("#")]
    stage = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    users = [line.split()[1] for line in stage if line.startswith("USER")]
    order = [number for number, line in enumerate(lines) if re.match(r"COPY (requirements|wheels|\.)", line)]
    health = [line for line in stage if line.startswith("HEALTHCHECK")]
    checks = {
        "root": bool(users) and users[-1].split(":")[0] not in ("root", "0"),
        "one stage": sum(line.startswith("FROM") for line in lines) == 2,
        "secret": not re.search(r"^(ENV|ARG).*(TOKEN|PASSWORD|SECRET|ANSWERS_KEY)\w*=", text, re.M),
        "health": len(health) == 1 and "/readyz" in health[0] and "curl" not in health[0],
        "order": len(order) == 3 and order == sorted(order) and "requirements" in lines[order[0]] and "COPY . " in lines[order[2]],
        "state": any(line.startswith("VOLUME") for line in stage),
        "pip": not any("pip" in line for line in stage),
    }  # fmt: skip
    return {name for name, right in checks.items() if not right}


SPOILT_IMAGES: dict[str, Callable[[str], str]] = {
    "root": lambda text: text.replace("USER 10001:10001", "USER root"),
    "one stage": lambda text: text.replace("\nFROM ${BASE}\n", "\n"),
    "secret": lambda text: text + "ENV MODELYARD_ADMIN_TOKEN=x\n",
    "health": lambda text: re.sub(r"^HEALTHCHECK.*", "HEALTHCHECK CMD curl -f localhost", text, flags=re.M),
    "order": lambda text: text.replace("COPY wheels ./wheels\n", "").replace("COPY . ", "COPY wheels ./wheels\nCOPY . ") + "COPY . /x\n",
    "state": lambda text: text.replace("VOLUME", "LABEL x="),
    "pip": lambda text: text + "RUN pip install x\n",
}  # fmt: skip


@pytest.mark.parametrize("fault", SPOILT_IMAGES)
def test_the_image_is_small_and_nobodys_root(folder: Path, fault: str) -> None:
    text = (folder / "Dockerfile").read_text()
    assert image_faults(text) == set()
    assert fault in image_faults(SPOILT_IMAGES[fault](text))


def test_hadolint(folder: Path, tmp_path: Path) -> None:
    command = [tool("hadolint"), "--failure-threshold", "info"]
    assert subprocess.run([*command, str(folder / "Dockerfile")], capture_output=True, check=False).stdout == b""
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /x && sudo pip install x\n")
    assert subprocess.run([*command, str(tmp_path / "Dockerfile")], capture_output=True, check=False).returncode


# -- compose -------------------------------------------------------------------------------------------------------------


def compose_faults(made: Json) -> set[str]:
    """Where compose.yaml is open, or names what is not there."""
    found = set()
    for name, each in made["services"].items():
        hard = each.get("read_only") and each.get("cap_drop") == ["ALL"] and each.get("mem_limit")
        if not hard or each.get("security_opt") != ["no-new-privileges:true"] or "healthcheck" not in each:
            found.add(f"{name}: open")
        if not set(each.get("secrets", ())) <= made["secrets"].keys():
            found.add(f"{name}: secret")
        if not {volume.split(":")[0] for volume in each["volumes"]} <= made["volumes"].keys():
            found.add(f"{name}: volume")
        if any(
            re.search("PASSWORD|TOKEN|KEY|DATABASE", key) and not key.endswith("_FILE") for key in each["environment"]
        ):
            found.add(f"{name}: secret in the open")
        if any(not port.startswith("127.0.0.1:") for port in each.get("ports", ())):
            found.add(f"{name}: port")
    if made["services"]["database"]["networks"] != ["inside"] or not made["networks"]["inside"].get("internal"):
        found.add("database: reachable")
    return found  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("service", "read_only"), False, "service: open"),
        (("database", "cap_drop"), [], "database: open"),
        (("service", "secrets"), ["none"], "service: secret"),
        (("service", "volumes"), ["none:/x"], "service: volume"),
        (("database", "environment"), {"POSTGRES_PASSWORD": "x"}, "database: secret in the open"),
        (("service", "ports"), ["8000:8000"], "service: port"),
        (("database", "networks"), ["outside"], "database: reachable"),
    ],
)
def test_compose_is_closed(folder: Path, path: tuple[str, str], value: Any, fault: str) -> None:
    made = load(folder / "compose.yaml")
    assert "POSTGRES_PASSWORD_FILE" in made["services"]["database"]["environment"]
    # the database's own names are no secrets
    for name in ("POSTGRES_DB", "POSTGRES_USER"):
        made["services"]["database"]["environment"].pop(name)
    assert compose_faults(made) == set()
    made["services"][path[0]][path[1]] = value
    assert fault in compose_faults(made)


def test_compose_by_its_specification(folder: Path) -> None:
    schema = pytest.importorskip("compose_spec.models", reason="compose-spec is not installed")
    made = load(folder / "compose.yaml")
    schema.ComposeSpecification.model_validate(made)
    made["services"]["service"]["healthcheck"] = "always"
    with pytest.raises(ValueError):
        schema.ComposeSpecification.model_validate(made)
