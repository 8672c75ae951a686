"""The prepare section: where the rows came from, what each column holds, how they were cleaned and split, and what looks suspicious."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import gates_table
from modelyard.report.traced import Traced
from modelyard.report.world import World

SHOWN = 12
"""Column cards that stand open; the others are folded away."""
SPLITS = (("train", "s1"), ("validation", "s5"), ("test", "s2"))


class Part(Section):
    """The data card."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        prepare = world["prepare"]
        return html.join(
            html.grid(
                _source(world, prepare), _splits(world, prepare), _target(world, prepare), _cleaning(world, prepare),
                _duplicates(world, prepare), _suspects(world, prepare), _suggestions(world, prepare), gates_table(world, world.gates("prepare")),
            ),
            _columns(world, prepare),
        )  # fmt: skip


def _source(world: World, prepare: Traced) -> Markup:
    words = world.words
    counts = {role: sum(column["role"].text == role for column in prepare["columns"]) for role in ("input", "ignored")}
    pairs: list[tuple[Any, Any]] = [
        (words("prepare.task"), words.name("task", prepare["task"].text)),
        (words("prepare.target"), world.quote(prepare["target"])),
        (words("prepare.inputs"), world.count(counts["input"], "columns input")),
        (words("prepare.ignored"), world.count(counts["ignored"], "columns ignored")),
    ]
    rows = [
        [
            world.quote(file["name"]),
            world.number(file["rows"], "count"),
            world.number(file["bytes"], "bytes"),
            html.tag("code", file["hash"].text[:12]),
        ]
        for file in prepare["source"]["files"]
    ]
    head = [words("prepare.file"), words("prepare.rows"), words("prepare.bytes"), words("prepare.hash")]
    table = html.table(head, rows, label=words.plain("prepare.files"), numeric=(1, 2)) if rows else None
    return html.card(words("prepare.source"), html.facts(pairs), table, note=world.reason(prepare["task_reason"]))


def _splits(world: World, prepare: Traced) -> Markup:
    words, splits = world.words, prepare["splits"]
    parts = [(splits[name]["rows"].number or 0.0, style, None) for name, style in SPLITS if splits[name].there]
    rows: list[list[Any]] = []
    total = None
    for name, _ in SPLITS:
        if splits[name].there:
            total = splits[name]["rows"] if total is None else total + splits[name]["rows"]
    for name, style in SPLITS:
        if splits[name].there:
            key = html.tag(
                "span", html.tag("i", class_=f"key square {style}"), " ", words.name("split", name), class_="keyed"
            )
            rows.append(
                [key, world.number(splits[name]["rows"], "count"), html.tag("code", splits[name]["hash"].text[:12])]
            )
    if total is not None:
        rows.append([words("prepare.all"), world.number(total, "count"), ""])
    table = html.table(
        [words("prepare.split"), words("prepare.rows"), words("prepare.hash")],
        rows,
        label=words.plain("prepare.splits"),
        numeric=(1,),
    )
    by, reason = words.name("by", prepare["split_by"].text), world.reason(prepare["split_reason"])
    note = words("prepare.split_because", by=by, reason=reason) if reason else words("prepare.split_by", by=by)
    return html.card(words("prepare.splits"), charts.shares(parts), table, note=note)


def _target(world: World, prepare: Traced) -> Markup | None:
    """The target in each split: shares of classes, or mean and range."""
    words, splits = world.words, prepare["splits"]
    known = [name for name, _ in SPLITS if splits[name]["target"]]
    if not known:
        return None
    keys = list(dict.fromkeys(key for name in known for key, _ in splits[name]["target"].items()))
    numeric = world.task_kind != "classification"
    rows = []
    for key in keys[:20]:
        cells = []
        for name in known:
            given = splits[name]["target"][key]
            cells.append(
                world.number(given, "metric" if world.task_kind == "regression" else "count")
                if numeric
                else html.join(
                    world.number(given, "count"),
                    " ",
                    html.tag("span", world.number(given / splits[name]["rows"], "percent"), class_="faint"),
                )
            )
        rows.append([words.name("target_fact", key) if numeric else key, *cells])
    head = [
        words("prepare.figure") if numeric else words("prepare.class"),
        *(words.name("split", name) for name in known),
    ]
    table = html.table(head, rows, label=words.plain("prepare.target_in"), numeric=range(1, len(head)))
    return html.card(words("prepare.target_in"), table, note=words("prepare.target_note"), wide=True)


def _cleaning(world: World, prepare: Traced) -> Markup:
    words, rows = world.words, []
    for step in prepare["cleaning"]:
        column = world.quote(step["column"]) if step["column"].there else words("prepare.all_columns")
        detail = html.join(
            *(_detail(world, key, given) for key, given in step["detail"].items() if given.there and given.value != 0),
            between=" · ",
        )
        rows.append(
            [
                words.name("cleaning", step["name"].text),
                column,
                world.number(step["before"], "count"),
                world.number(step["after"], "count"),
                html.tag("span", detail, class_="small soft"),
            ]
        )
    if not rows:
        return html.card(words("prepare.cleaning"), html.paragraph(words("prepare.clean"), class_="soft"))
    head = [
        words("prepare.step"),
        words("prepare.column"),
        words("prepare.before"),
        words("prepare.after"),
        words("prepare.detail"),
    ]
    return html.card(
        words("prepare.cleaning"),
        html.table(head, rows, label=words.plain("prepare.cleaning"), numeric=(2, 3)),
        note=words("prepare.cleaning_note"),
        wide=True,
    )


def _detail(world: World, key: str, given: Traced) -> Markup:
    if isinstance(given.value, (dict, list)):
        return html.tag(
            "span", world.words.name("detail", key), " ", html.tag("code", given.text[:120], data_source=given.source)
        )
    if key == "measure":
        return html.join(world.words.name("detail", key), " ", world.words.name("metric", given.text))
    if key in ("type", "done", "role"):
        return html.join(world.words.name("detail", key), " ", world.words.name(key, given.text))
    value = (
        world.quote(given)
        if isinstance(given.value, (str, bool))
        else world.number(given, "metric" if isinstance(given.value, float) else "count")
    )
    return html.join(world.words.name("detail", key), " ", value)


def _duplicates(world: World, prepare: Traced) -> Markup | None:
    words = world.words
    pairs = [
        (words.name("duplicates", key), world.number(given, "count")) for key, given in prepare["duplicates"].items()
    ]
    texts = any(column["type"].text == "text" and column["role"].text == "input" for column in prepare["columns"])
    note = (
        words("prepare.duplicates_note_coincident") if prepare["duplicates"]["coincident"].there
        else words("prepare.duplicates_note") if texts else words("prepare.duplicates_note_table")
    )  # fmt: skip
    return html.card(words("prepare.duplicates"), html.facts(pairs), note=note) if pairs else None


def _suggestions(world: World, prepare: Traced) -> Markup | None:
    """How else the rows could be split, where the blueprint left the choice to us."""
    lines = [
        html.tag(
            "li",
            html.tag("code", f"prepare.split: {{by: {one['value'].text}, column: {one['column'].text}}}"),
            html.tag("div", world.reason(one["reason"]), class_="small soft"),
        )
        for one in prepare["suggestions"]
    ]
    words = world.words
    return (
        html.card(words("prepare.suggestions"), html.tag("ul", *lines), note=words("prepare.suggestions_note"))
        if lines
        else None
    )


def _suspects(world: World, prepare: Traced) -> Markup:
    words, items = world.words, []
    for suspect in prepare["suspects"]:
        kind = words.name("suspect", suspect["kind"].text)
        column = html.join(" ", world.quote(suspect["column"], element="code")) if suspect["column"].there else None
        detail = html.join(
            *(_detail(world, key, given) for key, given in suspect["detail"].items() if given.there), between=" · "
        )
        items.append(
            html.tag(
                "li",
                html.badge("warn", kind),
                column,
                " ",
                world.number(suspect["value"], "metric"),
                html.tag("div", detail, class_="small soft") if detail else None,
            )
        )
    if not items:
        return html.card(
            words("prepare.suspects"),
            html.paragraph(html.badge("good", words("prepare.no_suspects"))),
            note=words("prepare.suspects_note"),
        )
    return html.card(
        words("prepare.suspects"), html.tag("ul", *items, class_="plain"), note=words("prepare.suspects_note")
    )


def _columns(world: World, prepare: Traced) -> Markup:
    order = {"target": 0, "input": 1, "ignored": 2}
    columns = sorted(prepare["columns"], key=lambda column: order.get(column["role"].text, 3))
    cards = [_column(world, column) for column in columns]
    words = world.words
    more = (
        html.details(
            words("prepare.more_columns", count=world.count(len(cards) - SHOWN, "columns folded")),
            html.grid(*cards[SHOWN:], class_="tight"),
            fold=True,
        )
        if len(cards) > SHOWN
        else None
    )
    title = html.tag("h3", words("prepare.columns"), class_="above")
    return html.join(title, html.grid(*cards[:SHOWN], class_="tight"), more)


def _column(world: World, column: Traced) -> Markup:
    """One column: type, role, missing values and a small picture of its values."""
    words, role = world.words, column["role"].text
    badges = html.join(
        html.tag("span", words.name("type", column["type"].text), class_="badge"),
        html.tag("span", words.name("role", role), class_=f"badge {'good' if role == 'target' else 'quiet'}")
        if role != "input"
        else None,
        between=" ",
    )
    pairs = [
        (words("prepare.missing"), world.number(column["missing"] / column["rows"], "percent")),
        # lists are not counted
        *(
            [(words("prepare.distinct"), world.number(column["distinct"], "count"))]
            if column["distinct"].number
            else []
        ),
        *_facts(world, column),
    ]
    name = html.tag("span", column["name"].text, title=column["reason"].text)
    style = {"target": "s2", "input": "s1"}.get(role, "s8")
    return html.tag(
        "section",
        html.tag("h3", name),
        html.tag("div", badges),
        _picture(world, column, style),
        html.facts(pairs, lines=True),
        class_="card small column",
    )


def _facts(world: World, column: Traced) -> list[tuple[Any, Any]]:
    words, facts = world.words, column["facts"]
    if facts["quantiles"]:
        quantiles = facts["quantiles"]
        span = words("number.bounds", low=world.number(quantiles["0"]), high=world.number(quantiles["1"]))
        return [(words("prepare.median"), world.number(quantiles["0.5"])), (words("prepare.range"), span)]
    if facts["earliest"]:
        return [
            (
                words("prepare.range"),
                words("number.bounds", low=facts["earliest"].text[:10], high=facts["latest"].text[:10]),
            )
        ]
    if facts["characters"]:
        characters = facts["characters"]
        span = words(
            "number.bounds",
            low=world.number(characters["0.05"], "count"),
            high=world.number(characters["0.95"], "count"),
        )
        script = [(words("prepare.script"), words.name("script", facts["script"].text))] if facts["script"] else []
        return [
            (words("prepare.characters"), world.number(characters["0.5"], "count")),
            (words("prepare.middle"), span),
            *script,
        ]
    if facts["modes"]:
        sides = html.join(*(world.number(facts[side]["0.5"], "count") for side in ("width", "height")), between=" × ")
        modes = html.join(
            *(html.join(name, " ", world.number(count, "count")) for name, count in facts["modes"].items()),
            between=", ",
        )
        return [(words("prepare.sides"), sides), (words("prepare.modes"), modes)]
    if facts["steps"]:
        return [(words("prepare.steps"), world.number(facts["steps"]["0.5"], "count"))]
    return []


def _picture(world: World, column: Traced, style: str) -> Markup | None:
    """A histogram of numbers and dates, bars of the commonest values of categories."""
    facts = column["facts"]
    if facts["histogram"]["counts"]:
        return charts.histogram(facts["histogram"]["counts"].value, style)
    top = list(facts["top"])[:4]
    if not top:
        return None
    most = top[0][1].number or 1.0
    rows = [
        html.tag(
            "div",
            html.tag("span", world.quote(pair[0]), class_="label"),
            charts.meter((pair[1].number or 0) / most, style),
            world.number(pair[1] / column["rows"], "percent"),
            class_="bar-row",
        )
        for pair in top
    ]
    return html.tag("div", *rows, class_="bar-rows")
