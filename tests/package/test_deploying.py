"""The files that run a package elsewhere say the same as the service, are hardened, and start it."""

from __future__ import annotations

import copy
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from modelyard.accounts.state import State
from modelyard.context import Context
from modelyard.errors import PackageError, UserError
from modelyard.package import deploying
from modelyard.package.dashboard import dashboard
from modelyard.packages import open_package, read_manifest
from modelyard.serve.generation import TokenMeters
from modelyard.serve.limits import Limits
from modelyard.serve.meters import Meters

Json = dict[str, Any]


@pytest.fixture(scope="module")
def folder(built: Context) -> Path:
    return built.store.path("package", "deploy")


def load(place: Path) -> Json:
    return YAML(typ="safe").load(place.read_text())  # type: ignore[no-any-return]


def tool(name: str) -> str:
    """A linter's path; the test is skipped where there is none."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def objects(folder: Path) -> dict[str, Json]:
    """Kubernetes' objects by their file's name; the kustomization is none of the cluster's."""
    return {
        place.stem: load(place)
        for place in sorted((folder / "kubernetes").glob("*.yaml"))
        if place.stem != "kustomization"
    }


# -- part of the package -------------------------------------------------------------------------------------------------


def test_the_hashes_cover_them(package: Path) -> None:
    open_package(package)  # the clean control
    place = package / "deploy" / "Dockerfile"
    place.write_text(place.read_text() + "USER root\n")
    with pytest.raises(PackageError, match="deploy/Dockerfile was changed"):
        open_package(package)


def test_everybody_may_read_a_package(package: Path) -> None:
    """A container's user is not who built: a file for its owner alone would stop the service."""
    for place in package.rglob("*"):
        assert place.stat().st_mode & 0o777 == (0o755 if place.is_dir() else 0o644), place


def test_they_carry_nothing_of_this_machine(folder: Path, built: Context) -> None:
    here = (str(Path.home()), str(built.store.path("package")), sys.prefix, socket.gethostname(), os.getcwd())
    for place in filter(Path.is_file, folder.rglob("*")):
        text = place.read_text()
        assert not [name for name in here if len(name) > 3 and name in text], place
        assert "{{ " not in text.replace("{{ $", "") and "None" not in text, place


def test_only_the_package_enters_the_image(folder: Path) -> None:
    lines = (folder / "Dockerfile.dockerignore").read_text().splitlines()
    names = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines and names == {place.name for place in folder.parent.iterdir()} | {"verdict.json"}


@given(st.text(min_size=1, max_size=90))
def test_names_that_kubernetes_and_images_take(text: str) -> None:
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", deploying.label(text))
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", deploying.tag(text))


def test_the_longest_strangest_names_stay_whole(built: Context) -> None:
    """A name and a version can break no file: each still reads as what it is."""
    package = built.store.path("package")
    manifest = read_manifest(package).model_copy(update={"name": "7" + "a-" * 31, "version": "1: 'x' {y}\n- z"})
    made = deploying.texts(package, manifest, (), installed=0)
    for name, text in made.items():
        if name.endswith((".yaml", ".yml")):
            assert YAML(typ="safe").load(text), name
    assert made["Dockerfile"].count("\n") == (package / "deploy" / "Dockerfile").read_text().count("\n")


def test_a_library_of_the_system_only_where_it_is_needed(built: Context) -> None:
    package = built.store.path("package")
    manifest = read_manifest(package)
    for pinned, wanted in (((), False), (("lightgbm==4.6.0",), True)):
        text = deploying.texts(package, manifest, pinned, installed=0)["Dockerfile"]
        assert ("libgomp1" in text) == wanted == ("apt-get" in text)


# -- times ---------------------------------------------------------------------------------------------------------------


def short_times(folder: Path, limits: Limits) -> list[str]:
    """Places that would kill the service before it has finished."""
    needed = limits.linger + limits.drain_time
    pod = load(folder / "kubernetes" / "deployment.yaml")["spec"]["template"]["spec"]
    leave = float(re.search(r"sleep\((\d+)\)", pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2])[1])  # type: ignore[index]
    unit = re.search(r"^TimeoutStopSec=(\d+)$", (folder / "modelyard.service").read_text(), re.M)
    times = {
        "compose": float(load(folder / "compose.yaml")["services"]["service"]["stop_grace_period"].rstrip("s")),
        "kubernetes": pod["terminationGracePeriodSeconds"] - leave,
        "systemd": float(unit[1]) if unit else 0.0,
    }
    return [name for name, seconds in times.items() if seconds <= needed]


def test_what_was_begun_is_finished(folder: Path) -> None:
    assert Limits().drain_time == deploying.DRAIN
    assert short_times(folder, Limits()) == []
    assert short_times(folder, Limits(drain_time=60.0)) == ["compose", "kubernetes", "systemd"]


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


# -- kubernetes ----------------------------------------------------------------------------------------------------------


def test_objects_by_kubernetes_schemas(folder: Path) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    found = objects(folder)
    assert len(found) == 9
    for made in found.values():
        schemas.validate(made, schemas.latest_version(), strict=True)
    for spoil in ({"replicas": "two"}, {"replica": 2}):
        spoilt = copy.deepcopy(found["deployment"])
        spoilt["spec"] |= spoil
        with pytest.raises(schemas.ValidationError):
            schemas.validate(spoilt, schemas.latest_version(), strict=True)


def pod_faults(deployment: Json) -> set[str]:
    """Where a pod is not as Kubernetes' "restricted" standard wants it, and ours: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    pod = deployment["spec"]["template"]["spec"]
    one, who = pod["containers"][0], pod["securityContext"]
    inside = one["securityContext"]
    kinds = {key for volume in pod["volumes"] for key in volume if key != "name"}
    checks = {
        "root": who.get("runAsNonRoot") is True and who.get("runAsUser", 0) > 0,
        "rights": inside.get("allowPrivilegeEscalation") is False and inside.get("capabilities") == {"drop": ["ALL"]},
        "seccomp": who.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "files": inside.get("readOnlyRootFilesystem") is True and kinds <= {"persistentVolumeClaim", "secret", "emptyDir"},
        "host": not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(),
        "token": pod.get("automountServiceAccountToken") is False,
        "probes": {
            (probe, one.get(f"{probe}Probe", {}).get("httpGet", {}).get("path")) for probe in ("startup", "readiness", "liveness")
        } == {("startup", "/readyz"), ("readiness", "/readyz"), ("liveness", "/healthz")},
        "resources": {"cpu", "memory"} <= one["resources"]["limits"].keys() & one["resources"]["requests"].keys(),
    }  # fmt: skip
    return {name for name, right in checks.items() if not right}


@pytest.mark.parametrize(
    ("at", "value", "fault"),
    [
        ("securityContext.runAsUser", 0, "root"),
        ("containers.0.securityContext.allowPrivilegeEscalation", True, "rights"),
        ("securityContext.seccompProfile", {"type": "Unconfined"}, "seccomp"),
        ("containers.0.securityContext.readOnlyRootFilesystem", False, "files"),
        ("volumes.0.hostPath", {"path": "/"}, "files"),
        ("hostNetwork", True, "host"),
        ("automountServiceAccountToken", True, "token"),
        ("containers.0.livenessProbe", {"httpGet": {"path": "/readyz"}}, "probes"),
        ("containers.0.resources.limits", {"cpu": "2"}, "resources"),
    ],
)
def test_the_pod_is_restricted(folder: Path, at: str, value: Any, fault: str) -> None:
    made = objects(folder)["deployment"]
    assert pod_faults(made) == set()
    *way, last = at.split(".")
    place: Any = made["spec"]["template"]["spec"]
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    assert pod_faults(made) == {fault}


def test_the_objects_find_each_other(folder: Path) -> None:
    made = objects(folder)
    pod = made["deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    for selector in (
        made["deployment"]["spec"]["selector"]["matchLabels"],
        made["service"]["spec"]["selector"],
        made["disruption-budget"]["spec"]["selector"]["matchLabels"],
        made["network-policy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector and selector.items() <= labels.items()
    target, names = made["autoscaler"]["spec"]["scaleTargetRef"], {each["metadata"]["name"] for each in made.values()}
    assert (target["kind"], target["name"]) == ("Deployment", made["deployment"]["metadata"]["name"]) and len(
        names
    ) == 1
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    assert (
        volumes["state"]["persistentVolumeClaim"]["claimName"] in names
        and volumes["secrets"]["secret"]["secretName"] in names
    )
    files = {value for key, value in made["config-map"]["data"].items() if key.endswith("_FILE")}
    assert files == {f"{mounts['secrets']}/{name}" for name in made["secret.example"]["stringData"]}
    assert not any(made["secret.example"]["stringData"].values())
    listed = load(folder / "kubernetes" / "kustomization.yaml")["resources"]
    assert {name.removesuffix(".yaml") for name in listed} == made.keys() - {"secret.example"}  # fmt: skip


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


# -- secrets -------------------------------------------------------------------------------------------------------------


def test_the_secrets_of_the_readme(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands make them, over no old one, and the service reads what compose names."""
    script = re.search(r"## Secrets.*?```sh\n(.*?)```", (folder / "README.md").read_text(), re.S)
    assert script
    (tmp_path / "package").mkdir()

    def make() -> int:
        return subprocess.run(
            ["sh", "-ec", script[1]], cwd=tmp_path / "package", capture_output=True, check=False
        ).returncode

    assert make() == 0
    made = {place.name: place.read_text() for place in (tmp_path / "secrets").iterdir()}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert load(folder / "compose.yaml")["secrets"].keys() == made.keys()
    assert make() != 0 and made == {place.name: place.read_text() for place in (tmp_path / "secrets").iterdir()}
    given = load(folder / "compose.yaml")["services"]["service"]["environment"]
    for name, place in given.items():
        monkeypatch.setenv(name, str(tmp_path / "secrets" / Path(place).name))
    state = State(tmp_path / "state")
    assert state.admin_token() == made["admin_token"] and state.database == made["database_url"]
    assert made["database_password"] in state.database
    state.box()
    assert not (tmp_path / "state").exists(), "nothing of it was written down again"


def test_secrets_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "token"
    monkeypatch.setenv("MODELYARD_ADMIN_TOKEN_FILE", str(place))
    with pytest.raises(UserError, match="cannot be read"):
        State(tmp_path).admin_token()
    place.write_text(" \n")
    with pytest.raises(UserError, match="is empty"):
        State(tmp_path).admin_token()
    place.write_text("long-random\n")
    assert State(tmp_path).admin_token() == "long-random"
    monkeypatch.setenv("MODELYARD_ADMIN_TOKEN", "nearer")
    assert State(tmp_path).admin_token() == "nearer"


# -- the image's steps, without an image ---------------------------------------------------------------------------------


def instruction(text: str, name: str) -> list[str]:
    """The JSON list of the last CMD, ENTRYPOINT or HEALTHCHECK."""
    (found,) = re.findall(rf"^{name}\b.*?(\[.*\])$", text, re.M)
    return json.loads(found)  # type: ignore[no-any-return]


@pytest.fixture
def installed(folder: Path, tmp_path: Path) -> Path:
    """An environment made of the package alone, by the Dockerfile's own two commands."""
    text = re.sub(r"\\\n", " ", (folder / "Dockerfile").read_text())
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    work = tmp_path / "build"
    shutil.copytree(folder.parent, work)
    shutil.copy(folder / "requirements-postgres.txt", work)
    for line in re.findall(r"^RUN (.*pip --python.*)$", text, re.M):
        command = line.replace("pip --python /opt/modelyard", f"{sys.executable} -m pip -q --python {place}")
        ended = subprocess.run(["sh", "-ec", command], cwd=work, capture_output=True, text=True, check=False)
        if "No matching distribution" in ended.stderr or "ConnectionError" in ended.stderr:
            pytest.skip("the package index cannot be asked")
        assert ended.returncode == 0, ended.stderr[-2000:]
    return place / "bin"


def ask(port: int, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Json]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture
def started(installed: Path, package: Path, tmp_path: Path) -> Iterator[tuple[int, Path, subprocess.Popen[bytes]]]:
    """The image's ENTRYPOINT and CMD, with a package that cannot be written: its port, its state, the process."""
    text = (package / "deploy" / "Dockerfile").read_text()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for place in (*package.rglob("*"), package):
        place.chmod(0o555 if place.is_dir() else 0o444)
    places = {"/srv/package": str(package), "/var/lib/modelyard": str(state), "8000": str(port), "0.0.0.0": "127.0.0.1"}
    words = [places.get(word, word) for word in (*instruction(text, "ENTRYPOINT"), *instruction(text, "CMD"))]
    words[0] = str(installed / words[0])
    process = subprocess.Popen(words, env={"PATH": str(installed)}, cwd=state, stderr=subprocess.DEVNULL)
    try:
        yield port, state, process
    finally:
        process.kill()
        process.wait()
        for place in (package, *package.rglob("*")):
            place.chmod(0o755 if place.is_dir() else 0o644)


@pytest.mark.long
def test_the_image_starts_sells_and_ends(
    started: tuple[int, Path, subprocess.Popen[bytes]], installed: Path, package: Path, tmp_path: Path
) -> None:
    port, state, process = started
    program = instruction((package / "deploy" / "Dockerfile").read_text(), "HEALTHCHECK")[-1].replace("8000", str(port))

    def health() -> int:
        return subprocess.run([installed / "python", "-c", program], capture_output=True, check=False).returncode

    until = time.monotonic() + 60
    while health() and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.2)
    assert health() == 0 and ask(port, "GET", "/readyz")[0] == 200

    def yard(*words: str, given: str = "") -> str:
        environment = {"PATH": str(installed), "MODELYARD_STATE": str(state)}
        ended = subprocess.run(
            [installed / "yard", *words], env=environment, input=given, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    plan = "{name: starter, price: 49, included: 1000, share: 1, usage: 500}"
    blueprint = f"name: demo\ndata: {{source: x.csv, target: label}}\nbusiness:\n  plans:\n    - {plan}\n"
    yard("customers", "plans", "--add", "/dev/stdin", given=blueprint)
    yard("customers", "add", "Kestrel", "--id", "kestrel", "--plan", "starter")
    key = re.search(r"yard_\S+", yard("keys", "issue", "kestrel"))
    assert key
    row = read_manifest(package).examples[0]
    assert ask(port, "POST", "/v1/predict", {"row": row})[0] == 401
    status, told = ask(port, "POST", "/v1/predict", {"row": row}, key[0])
    assert status == 200 and told["answers"] == [read_manifest(package).answers[0]]
    process.terminate()
    assert process.wait(timeout=deploying.DRAIN + deploying.SPARE) == 0
    assert health() != 0, "the check tells a service that is gone"
