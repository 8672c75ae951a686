"""The report: one self-contained HTML file about a build, made of its records and nothing else.

It knows no data, no model and no formula: it prints numbers that stages wrote, each with the place it comes from. Try it:

    python -c "from modelyard.report import write; print(write(Path('builds/mail-spam'), language='zh'))"
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard import parts
from modelyard.records.reported import Reported
from modelyard.store import write_text
from modelyard.units import Quantity

if TYPE_CHECKING:
    from modelyard.context import Context
    from modelyard.report.world import World

TEMPLATES = Path(__file__).parent / "templates"
BRIEF = "brief.html"
"""The business case in a few pages."""
OPTIONAL = ("market", "strategy", "forecast")
"""Sections of what is there only in some builds."""


def run(context: Context) -> Reported:
    """The last stage: write `report.html` into the build, in the blueprint's language."""
    from modelyard.report.world import STAGES, World

    world = World.open(context.store.folder, context.blueprint.report.language)
    page = render(world)
    path = context.store.path("report.html")
    write_text(path, page)
    numbers = world.numbers
    brief = context.store.path(BRIEF)
    if world["business"]["measured_costs"].there:
        write_text(brief, render_brief(world))
    else:
        brief.unlink(missing_ok=True)
    return Reported(
        path=path.name,
        bytes=Quantity(float(len(page.encode())), "B"),
        language=world.words.language,
        numbers=numbers,
        brief=BRIEF if brief.exists() else None,
        missing=tuple(stage for stage in STAGES if not world[stage].there),
    )


def write(build_folder: Path, *, language: str | None = None) -> Path:
    """Write `report.html` for a build, whole or stopped half-way; the language is the blueprint's unless one is given."""
    from modelyard.report.world import World

    path = build_folder / "report.html"
    write_text(path, render(World.open(build_folder, language)))
    return path


def render(world: World) -> str:
    """The whole page."""
    return _page(world, [_item(world, name) for name in _order(world)])


def render_brief(world: World) -> str:
    """The business case in a few pages, to print or to send: the verdict, the numbers, market and strategy where there are any."""
    parts_of = {name: parts.build("report.sections", name).brief(world) for name in _order(world)}
    named = {name: body for name, body in parts_of.items() if body is not None}
    return _page(world, [_about(world, name) | {"body": body} for name, body in named.items()], kind="brief")


def _page(world: World, items: list[dict[str, Any]], *, kind: str = "") -> str:
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html").render(
        language={"zh": "zh-Hans"}.get(world.words.language, world.words.language),
        title=world.name,
        when=world.when,
        style=style,
        words=world.words,
        items=items,
        kind=kind,
    )


def _order(world: World) -> list[str]:
    """The verdict, the stages in their order, market, strategy and forecast where the build has them, the appendix, then sections of strangers."""
    from modelyard.report.world import STAGES

    known = ("verdict", *STAGES, *OPTIONAL, "appendix")
    there = {"forecast": world["forecast"], **{name: world["business"][f"measured_{name}"] for name in OPTIONAL[:2]}}
    left_out = {name for name in OPTIONAL if not there[name].there}
    shelf = [name for name in parts.names("report.sections") if name not in left_out]
    return [name for name in known if name in shelf] + [name for name in shelf if name not in known]


def _item(world: World, name: str) -> dict[str, Any]:
    """What the template needs to know about one section."""
    from modelyard.report.world import STAGES

    absent = name in STAGES and not world[name].there
    return _about(world, name) | {
        "body": _absent(world, name) if absent else parts.build("report.sections", name).render(world)
    }


def _about(world: World, name: str) -> dict[str, Any]:
    light = world.light(name)
    return {
        "name": name,
        "title": world.words.name("section", name),
        "about": world.words.name("about", name) if world.words.has(f"about.{name}") else "",
        "heading": name != "verdict",
        "light": light,
        "said": world.words.plain(f"light.{light}") if light else "",
    }


def _absent(world: World, name: str) -> Any:
    """What stands where a stage has no record: because a gate stopped the run, or because nobody asked for it."""
    from modelyard.report import html

    stopped = world.stopped_at
    text = (
        world.words("absent.gate", stage=world.words.name("section", stopped))
        if stopped
        else world.words("absent.not_run", stage=name)
    )
    return html.tag("div", text, class_="absent")
