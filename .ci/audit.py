"""Are the packages that are installed known to be vulnerable, and may what we depend on be used? `make audit` runs it.

pip-audit asks a service of known vulnerabilities, OSV and then PyPI. One that is found fails. Where neither service answers, nothing is
known: that is said in capital letters and fails nothing, unless `--strict`. It sends names and versions of packages, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from importlib import metadata
from typing import Any

SERVICES = ("osv", "pypi")
ENOUGH = 0.9
"""Share of the packages that a service must know for the audit to count: private ones are known to none."""
REFUSED = re.compile(r"\b(A?GPL|Affero|GNU General Public)\b", re.IGNORECASE)
"""Licences that would reach into a product that is sold; the LGPL, of libraries that are imported, does not."""


def audited(service: str, arguments: list[str], *, seconds: float) -> list[dict[str, Any]] | None:
    """What the service says of each package; None where it did not answer."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "10", "--vulnerability-service", service]  # fmt: skip
    try:
        ended = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=seconds, check=False)
        found: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return None
    known = [each for each in found if "vulns" in each]
    return found if known and len(known) >= ENOUGH * len(found) else None


def vulnerable(found: list[dict[str, Any]]) -> list[str]:
    """A line for each known vulnerability."""
    return [
        f"{each['name']} {each['version']}: {one['id']}, mended in {', '.join(one['fix_versions']) or 'no version'}"
        for each in found
        for one in each.get("vulns", ())
    ]


def licences(package: str) -> list[str]:
    """Packages that this one needs, in the end, whose licence is refused; its own extras are among them where they are installed."""
    seen, waiting, refused = set[str](), [package], []
    while waiting:
        name = re.split(r"[^A-Za-z0-9._-]", waiting.pop())[0].lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            told = metadata.metadata(name)
        except metadata.PackageNotFoundError:  # an extra that is not installed
            continue
        said = [told.get("License-Expression") or "", *(c for c in told.get_all("Classifier") or () if "License" in c)]
        said = said if any(said) else [(told.get("License") or "")[:100]]
        if any(REFUSED.search(each.replace("LGPL", "").replace("Lesser General", "")) for each in said) and not any(
            " OR " in each for each in said
        ):
            refused.append(f"{name}: {'; '.join(filter(None, said))[:100]}")
        waiting += [each for each in metadata.requires(name) or () if name == package or "extra ==" not in each]
    return refused


def main() -> int:
    """0: nothing is known against them, or nothing could be asked; 1: something is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--strict", action="store_true", help="fail where no service answers")
    parser.add_argument("--path", help="a folder of packages, instead of those that are installed here")
    parser.add_argument("--osv-url", help="another service that speaks OSV's protocol")
    parser.add_argument("--ignore", action="append", default=[], help="a vulnerability that was looked at; say why where it is called")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=300.0, help="for each service")
    given = parser.parse_args()
    tell = sys.stdout.write
    if refused := licences("modelyard"):
        tell("licences that are refused:\n  " + "\n  ".join(refused) + "\n")
        return 1
    arguments = ["--path", given.path] if given.path else ["--local"]
    arguments += [word for each in given.ignore for word in ("--ignore-vuln", each)]
    for service in ("osv",) if given.osv_url else SERVICES:
        found = audited(
            service, arguments + (["--osv-url", given.osv_url] if given.osv_url else []), seconds=given.seconds
        )
        if found is None:
            tell(f"{service}: does not answer, or knows nearly none of the packages\n")
            continue
        faults = vulnerable(found)
        tell(f"{service}: {len(found)} packages asked for, {len(faults)} vulnerabilities known\n")
        tell("".join(f"  {fault}\n" for fault in faults))
        return 1 if faults else 0
    tell(
        "AUDIT NOT DONE: no service of known vulnerabilities answers from here. Nothing is known about the packages.\n"
    )
    return 1 if given.strict else 0


if __name__ == "__main__":
    raise SystemExit(main())
