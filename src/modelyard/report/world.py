"""What a section of the report sees: the build's records, the words of one language, and one way to print a number.

It reads the small files of a build folder (records, decisions, the resolved blueprint) and never data.

>>> world = World.open(Path("builds/mail-spam"))  # doctest: +SKIP
>>> world.number(world["serve"]["requests"], "count")  # doctest: +SKIP
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from modelyard import parts
from modelyard.report import charts, html
from modelyard.report.catalogue import Words
from modelyard.report.numbers import MISSING, Style, metric_decimals, show, steps
from modelyard.report.traced import Traced
from modelyard.store import read_json

STAGES = ("prepare", "train", "evaluate", "audit", "compress", "package", "serve", "business")
BLUEPRINT = "blueprint.resolved.yaml"
LONGEST = 1200
"""Characters of a quoted text that are shown: some mails are books."""


@dataclass
class World:
    """A build and a language. `documents` are its files by name; `numbers` counts the traced numbers printed."""

    folder: Path
    documents: Mapping[str, Any]
    words: Words
    numbers: int = field(default=0)

    @classmethod
    def open(cls, folder: Path, language: str | None = None) -> World:
        """Read a build folder; the language is the blueprint's unless one is given."""
        documents: dict[str, Any] = {}
        for name in (*(f"{stage}.json" for stage in STAGES), "decisions.json", "forecast.json"):
            if (folder / name).is_file():
                documents[name] = read_json(folder / name)
        if (folder / BLUEPRINT).is_file():
            from ruamel.yaml import YAML

            documents[BLUEPRINT] = (
                YAML(typ="safe", pure=True).load((folder / BLUEPRINT).read_text(encoding="utf-8")) or {}
            )
        declared = documents.get(BLUEPRINT, {}).get("report", {}).get("language", "en")
        return cls(folder, documents, Words(language or declared))

    def __getitem__(self, stage: str) -> Traced:
        """The record of a stage (or `blueprint`, `decisions`); its value is None where the build has none."""
        file = BLUEPRINT if stage == "blueprint" else f"{stage}.json"
        return Traced(self.documents.get(file), f"{file}#")

    def text_file(self, name: str) -> str:
        """The text of a small file of the build, empty where there is none."""
        place = self.folder / name
        return place.read_text(encoding="utf-8") if place.is_file() else ""

    def data_uri(self, name: str) -> str:
        """A small picture of the build as an address that holds it; empty where it is not there."""
        place = self.folder / name
        if not place.is_file():
            return ""
        return f"data:image/png;base64,{base64.b64encode(place.read_bytes()).decode()}"

    @property
    def task_kind(self) -> str:
        """`classification`, `regression`, `language` or `image`; a plug-in's task that is not here counts as the first."""
        task = self["train"]["task"].text or self["prepare"]["task"].text
        return str(parts.load("tasks", task).kind) if task in parts.names("tasks") else "classification"

    @property
    def baseline(self) -> str:
        """The candidate that must be beaten with confidence."""
        task = self["train"]["task"].text or self["prepare"]["task"].text
        return str(parts.load("tasks", task).baselines[0]) if task in parts.names("tasks") else "dummy"

    @property
    def currency(self) -> str:
        """The currency of the business case."""
        return self["business"]["currency"].text or self["blueprint"]["business"]["currency"].text or "USD"

    def tick(self, value: float) -> str:
        """A tick of an axis in the language's own steps: 50k, or 5万."""
        return charts.compact(value, steps(self.words.plain))

    def axis(self, low: float, high: float, name: str = "", marks: Sequence[float] | None = None) -> charts.Axis:
        """An axis from `low` to `high`."""
        return charts.Axis(low, high, name, form=self.tick, marks=marks)

    def around(self, values: Iterable[float], name: str = "", *, zero: bool = False, log: bool = False) -> charts.Axis:
        """An axis that holds all values."""
        return charts.Axis.around(values, name, zero=zero, log=log, form=self.tick)

    def number(
        self,
        given: Traced,
        style: Style = "plain",
        *,
        decimals: int | None = None,
        element: str = "span",
        **attributes: Any,
    ) -> Markup:
        """A number with its source as a tooltip, or a dash where the record has none."""
        value = given.number
        if value is None:
            return html.tag(element, MISSING, **attributes)
        self.numbers += 1
        currency = given.unit.split("/")[0] or self.currency
        text = show(value, style, self.words.plain, currency=currency, decimals=decimals)
        classes = " ".join(filter(None, ("n", attributes.pop("class_", ""))))
        return html.tag(
            element,
            text,
            class_=classes,
            data_source=given.source,
            title=f"{given.value} ← {given.source}",
            **attributes,
        )

    def count(self, number: int, what: str) -> Markup:
        """How many there are of something in the records, such as failed gates."""
        self.numbers += 1
        return html.tag("span", f"{number:,}", class_="n", data_count=what)

    def interval(self, given: Traced, style: Style = "metric") -> Markup:
        """`0.967 (0.958 to 0.975)` from an Estimate; one number where it has no bounds."""
        if not given["low"].there:
            return self.number(given["value"] if isinstance(given.value, Mapping) else given, style)
        return self.words(
            "number.interval", value=self.value(given, style), brackets=self.brackets(self.bounds(given, style))
        )

    def brackets(self, bounds: Markup) -> Markup:
        """Bounds in brackets, which a phone puts on a line of their own."""
        return html.tag("span", self.words("number.brackets", bounds=bounds), class_="brackets")

    def value(self, given: Traced, style: Style = "metric") -> Markup:
        """The middle of an Estimate, with as many decimals as its bounds."""
        return self.number(given["value"], style, decimals=self._decimals(given, style))

    def bounds(self, given: Traced, style: Style = "metric") -> Markup:
        """`0.958 to 0.975` from an Estimate."""
        decimals = self._decimals(given, style)
        return self.words(
            "number.bounds",
            low=self.number(given["low"], style, decimals=decimals),
            high=self.number(given["high"], style, decimals=decimals),
        )

    def _decimals(self, given: Traced, style: Style) -> int | None:
        known = [number for key in ("value", "low", "high") if (number := given[key].number) is not None]
        return metric_decimals(*known) if style == "metric" else None

    def quote(self, given: Traced, *, element: str = "span", class_: str = "") -> Markup:
        """A text of a record, word for word (cut where it is very long), with its source."""
        text = given.text
        shown = text if len(text) <= LONGEST else text[:LONGEST] + "…"
        return html.tag(element, shown, class_=f"q {class_}".strip(), data_source=given.source)

    @property
    def name(self) -> str:
        """The service's name."""
        return self["blueprint"]["name"].text or self.folder.name

    @property
    def when(self) -> str:
        """The day on which the last stage was run."""
        starts = [self[stage]["run"]["started"].text[:10] for stage in STAGES]
        return max((start for start in starts if start), default="")

    def gates(self, stage: str) -> list[Traced]:
        """The gates of a stage that was run."""
        return list(self[stage]["gates"])

    def failed(self, *stages: str) -> list[Traced]:
        """The gates that were not met, of these stages or of all."""
        return [gate for stage in stages or STAGES for gate in self.gates(stage) if gate["passed"].value is False]

    def light(self, stage: str) -> str:
        """`bad` where a gate failed, `good` where the stage was run, an empty text where it was not; the verdict's is that of all."""
        if stage == "verdict":
            return "bad" if self.failed() else "good" if all(self[each].there for each in STAGES) else ""
        if not self[stage].there or stage == "forecast":
            return ""
        return "bad" if self.failed(stage) else "good"

    @property
    def stopped_at(self) -> str:
        """The stage whose failed gate stopped the run, or an empty text."""
        for number, stage in enumerate(STAGES):
            if self.failed(stage) and not any(self[later].there for later in STAGES[number + 1 :]):
                return stage
        return ""

    def reason(self, given: Traced) -> Markup:
        """What a stage said (a reason, a cure), in the report's language where the catalogue knows its pattern, else word for word."""
        if not given:
            return Markup("")
        said = self.words.translated(given.text)
        return self.quote(given) if said is None else html.tag("span", said, title=given.text, data_said=given.source)
