"""Kubernetes' objects: valid by the schemas, restricted, and each finds the other."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from deploying_files import Json, load, objects

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
