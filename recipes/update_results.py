"""Write the result table of a recipe's README from the records of a build; every figure in it comes from there.

    python recipes/update_results.py BUILD [--readme recipes/<name>/README.md] [--metrics f1_macro,roc_auc]

BUILD is a build folder made by `yard run recipes/<name>/blueprint.yaml`. The name of the build's blueprint finds the README: the one in `recipes/` with the
marker `<!-- results NAME -->`, or else `recipes/NAME/README.md` with the plain marker `<!-- results -->`. Everything between the marker and the next
`<!-- /results -->` is replaced, and the figure in the project's README; running it twice changes nothing. Only the standard library is used, and the package is not imported.

Read are `evaluate.json` (`metrics` is the chosen model on test, `candidates` the others), and where they exist `train.json` (the weights),
`serve.json`, `business.json`; a quantity is a number or a text with its unit, such as `0.004 s`. Knows nothing of how records are made.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).parent
COLUMNS = 5  # more do not fit on a page
# label: path in the record
SERVED = {
    "p50": "measured_latency.p50",
    "p95": "measured_latency.p95",
    "highest sustained rate": "measured_rate",
    "from start to first answer": "measured_cold_start",
    "first token (p50)": "measured_stream.first_token.p50",
    "from one token to the next": "measured_stream.next_token",
}
VALUED = {
    "1,000 requests cost": "measured_costs.per_thousand",
    "gross margin": "measured_unit_economics.gross_margin",
    "break-even customers": "measured_unit_economics.break_even_customers",
    "LTV : CAC": "measured_unit_economics.ltv_to_cac",
    "payback": "measured_unit_economics.payback",
}
MONEY = {
    "chosen threshold": "money.chosen",
    "threshold 0.5": "money.at_half",
    "never answering the positive class": "money.never",
    "saved by the chosen threshold": "money.saved",
    "saved against never": "money.saved_against_never",
}
DRAWN = {
    "kernel distance over the Gaussian's": "drawing.chosen.figures.kernel_ratio",
    "accuracy of a classifier that learnt from made images alone": "drawing.chosen.figures.sample_accuracy",
    "of as many real ones": "drawing.real_accuracy",
    "rarest class where none is asked for": "drawing.chosen.figures.least_share",
    "near-copies of training images": "drawing.chosen.figures.copied",
    "of real test images": "drawing.real_copied",
}


class NotABuild(Exception):
    """The folder, a record or a marker is not as it must be; the text says what is missing and where."""


def read(build: Path, stage: str, *, needed: bool = False) -> dict[str, Any]:
    """One record; `{}` where the stage did not run, unless it is needed."""
    path = build / f"{stage}.json"
    if not path.exists():
        if needed:
            raise NotABuild(f"{path} is missing: run `yard run` as far as `{stage}`")
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise NotABuild(f"{path} is not a record")
    return found


def name_of(build: Path) -> str:
    """The `name` of the resolved blueprint, at the top level and on a line of its own."""
    path = build / "blueprint.resolved.yaml"
    found = (
        re.search(r"^name:\s*['\"]?([\w.-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if path.exists()
        else None
    )
    if not found:
        raise NotABuild(f"{path} with a `name:` is missing: {build} is no build folder")
    return found[1]


def readme_of(name: str) -> tuple[Path, str]:
    """The README that shows this blueprint's results, and its marker."""
    marker = f"<!-- results {name} -->"
    for path in sorted(RECIPES.glob("*/README.md")):
        if marker in path.read_text(encoding="utf-8"):
            return path, marker
    return RECIPES / name / "README.md", "<!-- results -->"


def at(record: dict[str, Any], path: str) -> Any:
    """What stands at a dotted path of a record; None where there is nothing."""
    found: Any = record
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def number(value: float) -> str:
    """Three decimals below 10, none from 1,000 on, thousands apart. `number(23864.7)` is `23,865`."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def estimate(found: Any) -> str:
    """`0.967 (0.958 to 0.975)`; empty where the metric was not measured."""
    if not isinstance(found, dict) or not isinstance(found.get("value"), (int, float)):
        return ""
    low, high = found.get("low"), found.get("high")
    return number(found["value"]) + (
        f" ({number(low)} to {number(high)})" if low is not None and high is not None else ""
    )


def quantity(found: Any) -> str:
    """A figure with its unit, for people: `'0.0042 s'` is `4.2 ms`; three scenarios are `likely (low to high)`; empty if it is no figure."""
    if isinstance(found, dict) and "likely" in found:
        ends = [quantity(found.get(end)) or "none" for end in ("likely", "low", "high")]
        return f"{ends[0]} ({ends[1]} to {ends[2]})"
    parts = re.fullmatch(r"([-+]?[\d.]+(?:e[-+]?\d+)?)\s*(\S*)", str(found).strip(), re.IGNORECASE)
    if not parts:
        return ""
    value, unit = float(parts[1]), re.sub(r"/(kilo|mega)\w+$", "", parts[2])
    if unit == "s" and abs(value) < 1:
        value, unit = value * 1000, "ms"
    return f"{value:,.3g} {unit}".strip() if abs(value) < 1000 else f"{value:,.0f} {unit}".strip()


def line(record: dict[str, Any], wanted: dict[str, str]) -> str:
    """`p50 3.1 ms, p95 6 ms`: each wanted figure that the record has."""
    found = {label: at(record, path) for label, path in wanted.items()}
    shown = {
        label: estimate(value) if isinstance(value, dict) and "value" in value else quantity(value)
        for label, value in found.items()
    }
    return ", ".join(f"{label} {text}" for label, text in shown.items() if text)


def columns(evaluated: dict[str, Any], asked: str | None) -> list[str]:
    """The metrics shown: those asked for; else the one that chose, then the record's own order."""
    measured = list(evaluated["metrics"])
    if asked:
        missing = [name for name in asked.split(",") if name not in measured]
        if missing:
            raise NotABuild(f"evaluate.json has no metric {', '.join(missing)}; it has {', '.join(measured)}")
        return asked.split(",")
    return list(dict.fromkeys(name for name in [evaluated.get("metric"), *measured] if name in measured))[:COLUMNS]


def table(evaluated: dict[str, Any], shown: list[str], weights: dict[str, float]) -> list[str]:
    """The chosen model in bold, then every candidate in the record's order; last, how far the chosen one is ahead, paired."""
    mixed = (
        " + ".join(f"{share:.2f} {name}" for name, share in weights.items() if share > 0)
        if len(weights) > 1
        else "".join(weights)
    )
    ahead = f"chosen minus this, `{evaluated.get('metric', '')}`, paired"
    rows = [f"| on test | {' | '.join(f'`{name}`' for name in shown)} | {ahead} |", f"|---|{'---|' * len(shown)}---|"]
    best = " | ".join(f"**{estimate(evaluated['metrics'].get(name))}**" for name in shown)
    rows.append(f"| **chosen{': ' + mixed if mixed else ''}** | {best} | |")
    for name, candidate in (evaluated.get("candidates") or {}).items():
        found = [estimate(at(candidate, f"metrics.{metric}")) for metric in shown]
        rows.append(f"| {name} | {' | '.join(found)} | {estimate(candidate.get('difference'))} |")
    return rows


def results(build: Path, asked: str | None = None) -> str:
    """The text between the markers."""
    evaluated, trained = read(build, "evaluate", needed=True), read(build, "train")
    if not evaluated.get("metrics"):
        raise NotABuild(f"{build / 'evaluate.json'} has no `metrics`")
    shown = columns(evaluated, asked)
    lines = [*table(evaluated, shown, trained.get("weights") or {}), "", *written(evaluated)]
    level = next((m["level"] for m in evaluated["metrics"].values() if "level" in m), 0.95)
    resampled = "groups" if evaluated.get("grouped") else "rows"
    size = f" {evaluated['rows']:,} rows." if "rows" in evaluated else ""
    lines.append(f"- In brackets: {level:.0%} bootstrap interval; {resampled} of the test are resampled.{size}")
    if text := line(evaluated, MONEY):
        lines.append(f"- Declared cost of a row: {text}.")
    if text := line(evaluated, DRAWN):
        lines.append(f"- Made by the chosen model: {text}.")
        seconds = sum(one.get("timings", {}).get("total", 0.0) for one in trained.get("candidates", []))
        lines.append(f"- Training, all candidates together: {seconds:.0f} s.")
    served, valued = read(build, "serve"), read(build, "business")
    if text := line(served, SERVED):
        lines.append(f"- Served, one row a request: {text}.")
    if text := line(valued, VALUED):
        lines.append(f"- Business case, under the blueprint's assumptions (likely, low to high): {text}.")
    if text := "; ".join(sold(unit) for unit in valued.get("measured_units", ()) if unit["unit"] != "request"):
        lines.append(f"- Sold by use: {text}.")
    failed = [
        gate
        for record in (evaluated, served, valued)
        for gate in record.get("gates", [])
        if not gate.get("passed", True)
    ]
    lines += [
        f"- **Gate failed: {gate['name']}: demanded {gate['demanded']}, measured {gate['measured']}.**"
        for gate in failed
    ]
    run = evaluated.get("run") or {}
    machine = run.get("machine") or {}
    where = ", ".join(
        text
        for text in (machine.get("processor", ""), f"{machine['cores']} cores" if "cores" in machine else "")
        if text
    )
    if run.get("started"):
        lines.append(f"- Run {run['started'][:10]}{' on ' + where if where else ''}.")
    return "\n".join(lines) + "\n"


def sold(unit: dict[str, Any]) -> str:
    """`1,000 image cost 0.002 USD (...), price floor 0.003 USD (...)`, and how many a request has."""
    each = quantity(unit["per_request"]).split(" ")[0]
    costs, floor = quantity(unit["cost"]), quantity(unit["price_floor"])
    return f"{unit['lot']:,} {unit['unit']}s ({each} a request) cost {costs}, price floor {floor}"


def written(evaluated: dict[str, Any]) -> list[str]:
    """What language models wrote, where there are references: the chosen one, then every candidate and how far the chosen one is ahead."""
    found = evaluated.get("writing") or {}
    if not at(found, "chosen.figures.chrf"):
        return []
    heads = [name for figure in ("chrF", "BLEU") for name in (figure, f"chosen minus this, {figure}, paired")]
    rows = [f"| {found['rows']} answers | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name, one in {"**chosen**": found["chosen"], **found.get("candidates", {})}.items():
        cells = [
            estimate(at(one, f"{kind}.{figure}")) for figure in ("chrf", "bleu") for kind in ("figures", "differences")
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return [*rows, ""]


def replace(text: str, marker: str, new: str, where: Path) -> str:
    """`text` with `new` between `marker` and the next `<!-- /results -->`."""
    start = text.find(marker)
    end = text.find("<!-- /results -->", start)
    if start < 0 or end < 0:
        raise NotABuild(f"{where} has no {marker} ... <!-- /results -->")
    return text[: start + len(marker)] + "\n" + new + text[end:]


def summarise(build: Path, name: str) -> None:
    """Write the choosing metric into the tables of the project's own READMEs, between `<!-- result NAME -->` and `<!-- /result -->`."""
    evaluated = read(build, "evaluate", needed=True)
    figure = estimate(evaluated["metrics"].get(evaluated.get("metric")))
    for path in sorted(RECIPES.parent.glob("README*.md")):
        text = path.read_text(encoding="utf-8")
        inline = re.compile(rf"(<!-- result {re.escape(name)} -->).*?(<!-- /result -->)")
        path.write_text(inline.sub(lambda found: f"{found[1]}{figure}{found[2]}", text), encoding="utf-8")


def main() -> int:
    """Update one README; 2 where the build or the marker is missing."""
    parser = argparse.ArgumentParser(description="Write a recipe's result table from a build.")
    parser.add_argument("build", type=Path)
    parser.add_argument("--readme", type=Path, help="instead of the one the blueprint's name finds")
    parser.add_argument(
        "--metrics", help="names separated by commas; by default the one that chose and the first others"
    )
    given = parser.parse_args()
    try:
        name = name_of(given.build)
        readme, marker = readme_of(name)
        readme = given.readme or readme
        if not readme.exists():
            raise NotABuild(f"{readme} does not exist; name the README with --readme")
        before = readme.read_text(encoding="utf-8")
        after = replace(
            before, marker if marker in before else "<!-- results -->", results(given.build, given.metrics), readme
        )
    except NotABuild as problem:
        print(problem, file=sys.stderr)
        return 2
    temporary = readme.with_suffix(".new")
    temporary.write_text(after, encoding="utf-8")
    temporary.replace(readme)
    summarise(given.build, name)
    print(f"{readme}: {'unchanged' if after == before else 'updated'} from {given.build}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
