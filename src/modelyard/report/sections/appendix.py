"""The appendix: time and memory of each stage, machine, versions, decisions, every gate, and the resolved blueprint."""

from __future__ import annotations

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import gate_rows
from modelyard.report.traced import Traced
from modelyard.report.world import BLUEPRINT, STAGES, World


class Part(Section):
    """How the build was made."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        return html.join(
            html.grid(
                _stages(world),
                _machine(world),
                _versions(world),
                _gates(world),
                _derived(world),
                _decisions(world),
            ),
            _blueprint(world),
        )


def _runs(world: World) -> list[tuple[str, Traced]]:
    return [(stage, world[stage]["run"]) for stage in STAGES if world[stage]["run"].there]


def _stages(world: World) -> Markup | None:
    words, runs = world.words, _runs(world)
    if not runs:
        return None
    longest = max((run["seconds"].number or 0 for _, run in runs), default=1) or 1
    largest = max((run["peak_memory"].number or 0 for _, run in runs), default=1) or 1
    rows = []
    for stage, run in runs:
        seconds, memory = run["seconds"], run["peak_memory"]
        rows.append([
            words.name("section", stage), charts.meter((seconds.number or 0) / longest), world.number(seconds, "seconds"),
            charts.meter((memory.number or 0) / largest, "s3"), world.number(memory, "bytes"),
        ])  # fmt: skip
    total = runs[0][1]["seconds"]
    for _, run in runs[1:]:
        total = total + run["seconds"]
    rows.append([words("appendix.together"), "", world.number(total, "seconds"), "", ""])
    head = [words("appendix.stage"), "", words("appendix.seconds"), "", words("appendix.memory")]
    table = html.table(head, rows, label=words.plain("appendix.stages"), numeric=(2, 4))
    return html.card(words("appendix.stages"), table, note=words("appendix.stages_note"), wide=True)


def _machine(world: World) -> Markup | None:
    words, runs = world.words, _runs(world)
    if not runs:
        return None
    pairs = []
    for key, given in runs[-1][1]["machine"].items():
        shown = world.number(given, "bytes") if given.unit == "B" else world.quote(given)
        pairs.append((words.name("machine", key), shown))
    return html.card(words("appendix.machine"), html.facts(pairs, lines=True))


def _versions(world: World) -> Markup | None:
    words, runs = world.words, _runs(world)
    if not runs:
        return None
    pairs = [(name, world.quote(given)) for name, given in runs[-1][1]["versions"].items()]
    return html.card(words("appendix.versions"), html.facts(pairs, lines=True))


def _gates(world: World) -> Markup | None:
    words, rows = world.words, []
    for stage in STAGES:
        for row, gate in zip(gate_rows(world, world.gates(stage)), world.gates(stage), strict=True):
            rows.append(
                [
                    html.join(row[0], html.tag("code", gate["name"].text, class_="faint")),
                    words.name("section", stage),
                    *row[1:],
                ]
            )
    if not rows:
        return None
    head = [
        words("gates.gate"),
        words("appendix.stage"),
        words("gates.result"),
        words("gates.demanded"),
        words("gates.measured"),
    ]
    return html.card(
        words("appendix.gates"), html.table(head, rows, label=words.plain("appendix.gates"), class_="twice"), wide=True
    )


def _derived(world: World) -> Markup | None:
    """Values that stages worked out, with their reasons."""
    words, rows = world.words, []
    for stage in STAGES:
        for derived in world[stage]["derived"]:
            shown = (
                world.quote(derived["value"])
                if not isinstance(derived["value"].value, (dict, list))
                else html.tag("code", derived["value"].text)
            )
            rows.append([html.tag("code", derived["path"].text), shown, world.reason(derived["reason"])])
    if not rows:
        return None
    head = [words("appendix.key"), words("appendix.value"), words("appendix.reason")]
    table = html.table(head, rows, label=words.plain("appendix.derived"))
    return html.card(
        words("appendix.derived"),
        html.details(words("appendix.show"), table),
        note=words("appendix.derived_note"),
        wide=True,
    )


def _decisions(world: World) -> Markup | None:
    words, rows = world.words, []
    for name, given in world["decisions"].items():
        rows.append([html.tag("code", name), html.tag("code", given.text, data_source=given.source)])
    if not rows:
        return None
    table = html.table(
        [words("appendix.decision"), words("appendix.value")], rows, label=words.plain("appendix.decisions")
    )
    return html.card(
        words("appendix.decisions"),
        html.details(words("appendix.show"), table),
        note=words("appendix.decisions_note"),
        wide=True,
    )


def _blueprint(world: World) -> Markup | None:
    text = world.text_file(BLUEPRINT)
    if not text:
        return None
    return html.details(world.words("appendix.blueprint"), html.tag("pre", text, tabindex="0"), fold=True)
