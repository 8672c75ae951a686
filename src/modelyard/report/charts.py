"""Plots as inline SVG, drawn by hand: small, in the page's own fonts and colours (light, dark and print), readable on a phone.

Two kinds: a `Chart` has axes and a fixed drawing box that scales as a whole; a `Track` is one row of a table (an interval on
a shared scale) that stretches with its cell. Positions are rounded to a tenth of a unit. They know nothing about records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from markupsafe import Markup

from modelyard.report.html import join, tag

SERIES = 8
"""Colours in the style sheet: `s1` … `s8`, told apart by colour-blind readers (Okabe and Ito 2008)."""


def series(number: int) -> str:
    """The style class of the n-th series."""
    return f"s{number % SERIES + 1}"


def compact(
    value: float, steps: Sequence[tuple[float, str]] = ((1e3, "k"), (1e6, "M"), (1e9, "B"), (1e12, "T"))
) -> str:
    """A tick's text: short, with k, M, B (or a language's own steps) from ten thousand on."""
    for size, name in reversed(steps):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:.3g}{name}".replace("-", "\N{MINUS SIGN}")
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """A tick of a share."""
    return f"{value * 100:.3g}%"


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round positions (1, 2 or 5 times a power of ten) inside a range: one fewer than wanted, or more."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10(high - low) + 1e-9)
    for step in (power, power / 2, power / 5, power / 10):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 >= wanted - 1:
            break
    return [round(number * step, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten inside a range, with 2 and 5 between them where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 200 else (1,)
    return [
        factor * 10.0**power
        for power in powers
        for factor in factors
        if low * 0.999 <= factor * 10.0**power <= high * 1.001
    ]


@dataclass(frozen=True)
class Axis:
    """One axis: its range, name and how ticks are written."""

    low: float
    high: float
    name: str = ""
    log: bool = False
    form: Callable[[float], str] = compact
    marks: Sequence[float] | None = None

    @classmethod
    def around(
        cls,
        values: Iterable[float],
        name: str = "",
        *,
        zero: bool = False,
        log: bool = False,
        form: Callable[[float], str] = compact,
    ) -> Axis:
        """An axis that holds all values with a little air; `zero` starts it there."""
        known = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        if log:
            return cls(low / 1.1, high * 1.1, name, True, form)
        air = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
        return cls(min(0.0, low) if zero else low - air, high + air if not zero or high > 0 else 0.0, name, False, form)

    def share(self, value: float) -> float:
        """Where a value stands, 0 at the low end and 1 at the high end."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-300))
        share = (value - low) / (high - low) if high > low else 0.5
        return min(max(share, -0.05), 1.05)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Where the marks stand."""
        if self.marks is not None:
            return list(self.marks)
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high, wanted)


LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 40


@dataclass
class Chart:
    """A plot with two axes. Draw from back to front, then take `svg(label)`."""

    x: Axis
    y: Axis
    width: int = 440
    height: int = 270
    drawn: list[Markup] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Data to drawing units."""
        across = LEFT + self.x.share(x) * (self.width - LEFT - RIGHT)
        return round(across, 1), round(self.height - BOTTOM - self.y.share(y) * (self.height - TOP - BOTTOM), 1)

    def line(
        self, xs: Sequence[float], ys: Sequence[float], style: str, *, dashed: bool = False, steps: bool = False
    ) -> Chart:
        """A line through points; `steps` holds each value until the next."""
        points = [self.at(x, y) for x, y in zip(xs, ys, strict=True)]
        if steps:
            points = [corner for a, b in pairwise(points) for corner in (a, (b[0], a[1]))] + points[-1:]
        path = " ".join(f"{x:g},{y:g}" for x, y in thinned(points))
        self.drawn.append(tag("polyline", points=path, class_=f"line {style}{' dashed' if dashed else ''}"))
        return self

    def band(self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], style: str) -> Chart:
        """The area between two lines."""
        above = [self.at(x, y) for x, y in zip(xs, highs, strict=True)]
        below = [self.at(x, y) for x, y in zip(xs, lows, strict=True)]
        path = " ".join(f"{x:g},{y:g}" for x, y in (*above, *reversed(below)))
        self.drawn.append(tag("polygon", points=path, class_=f"band {style}"))
        return self

    def dots(
        self, points: Iterable[tuple[float, float]], style: str, *, titles: Sequence[Markup] = (), radius: float = 4
    ) -> Chart:
        """Points; a title is an SVG <title> element shown on hovering."""
        for number, (x, y) in enumerate(points):
            across, up = self.at(x, y)
            title = titles[number] if number < len(titles) else None
            self.drawn.append(tag("circle", title, cx=f"{across:g}", cy=f"{up:g}", r=radius, class_=f"dot {style}"))
        return self

    def labels(self, points: Iterable[tuple[float, float, str]], *, lift: float = 0) -> Chart:
        """Names beside points, moved down where they would cover one another; `lift` raises them above lines through the points."""
        taken: list[tuple[float, float]] = []
        for x, y, name in sorted(points, key=lambda point: -point[1]):
            across, up = self.at(x, y)
            up -= lift
            late = self.x.share(x) > 0.62
            while any(abs(up - other) < 13 and abs(across - beside) < 150 for beside, other in taken):
                up += 13
            taken.append((across, up))
            self.drawn.append(
                tag(
                    "text",
                    name,
                    x=across + (-10 if late else 10),
                    y=up + 4,
                    text_anchor="end" if late else "start",
                    class_="name",
                )
            )
        return self

    def bars(self, edges: Sequence[float], heights: Sequence[float], style: str) -> Chart:
        """Bars between edges (one more than heights), from zero."""
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            (x, y), (end, floor) = self.at(left, height), self.at(right, 0)
            self.drawn.append(
                tag(
                    "rect",
                    x=x,
                    y=min(y, floor),
                    width=round(max(end - x - 1, 0.5), 1),
                    height=round(abs(floor - y), 1),
                    class_=f"bar {style}",
                )
            )
        return self

    def rule(
        self,
        *,
        x: float | None = None,
        y: float | None = None,
        name: object = "",
        style: str = "rule",
        low: bool = False,
    ) -> Chart:
        """A line across the whole plot at one value, with its name (of an upright one at the top, or `low` at its foot)."""
        if x is not None:
            across, _ = self.at(x, self.y.low)
            late = self.x.share(x) > 0.6
            text = (
                tag(
                    "text",
                    name,
                    x=across + (-5 if late else 5),
                    y=self.height - BOTTOM - 8 if low else TOP + 10,
                    text_anchor="end" if late else "start",
                    class_="name",
                )
                if name
                else None
            )
            self.drawn.append(
                join(tag("line", x1=across, x2=across, y1=TOP, y2=self.height - BOTTOM, class_=style), text)
            )
        if y is not None:
            _, up = self.at(self.x.low, y)
            text = (
                tag("text", name, x=self.width - RIGHT - 4, y=up - 5, text_anchor="end", class_="name")
                if name
                else None
            )
            self.drawn.append(join(tag("line", x1=LEFT, x2=self.width - RIGHT, y1=up, y2=up, class_=style), text))
        return self

    def svg(self, label: str) -> Markup:
        """The finished drawing."""
        return tag(
            "svg", tag("title", label), *self._grid(), *self.drawn, viewBox=f"0 0 {self.width} {self.height}", role="img", class_="chart", aria_label=label,
        )  # fmt: skip

    def _grid(self) -> list[Markup]:
        floor, end = self.height - BOTTOM, self.width - RIGHT
        drawn = []
        for value in self.y.ticks():
            _, up = self.at(self.x.low, value)
            drawn.append(tag("line", x1=LEFT, x2=end, y1=up, y2=up, class_="gridline"))
            drawn.append(tag("text", self.y.form(value), x=LEFT - 6, y=up + 4, text_anchor="end", class_="tick"))
        for value in self.x.ticks():
            across, _ = self.at(value, self.y.low)
            drawn.append(tag("line", x1=across, x2=across, y1=floor, y2=floor + 4, class_="gridline"))
            drawn.append(tag("text", self.x.form(value), x=across, y=floor + 16, text_anchor="middle", class_="tick"))
        drawn.append(tag("line", x1=LEFT, x2=end, y1=floor, y2=floor, class_="axis"))
        drawn.append(
            tag("text", self.x.name, x=(LEFT + end) / 2, y=self.height - 6, text_anchor="middle", class_="name")
        )
        middle = (TOP + floor) / 2
        drawn.append(
            tag(
                "text",
                self.y.name,
                transform=f"translate(11 {middle:g}) rotate(-90)",
                text_anchor="middle",
                class_="name",
            )
        )
        return drawn


def thinned(points: list[tuple[float, float]], limit: int = 400) -> list[tuple[float, float]]:
    """At most so many points, first and last kept: more cannot be seen."""
    if len(points) <= limit:
        return points
    step = (len(points) - 1) / (limit - 1)
    return [points[round(number * step)] for number in range(limit)]


FAR = 0.35
"""A row is left at the edge of its scale where the others would then fill a third of the width or less."""


@dataclass(frozen=True)
class Track:
    """A scale shared by the rows of a table. `row(...)` draws an interval; it stretches with its cell."""

    axis: Axis
    reference: float | None = None
    """Where a thin line crosses every row: the chosen model's value, or a limit."""
    reference_style: str = "rule"

    @classmethod
    def of(cls, values: Sequence[Sequence[float]], reference: float | None, form: Callable[[float], str]) -> Track:
        """A scale for (value, low, high) triples. One far from all others would press them together: it becomes an arrow at the edge."""
        kept = sorted(values, key=lambda triple: triple[0])
        points = [reference] if reference is not None else []

        def width(triples: Sequence[Sequence[float]]) -> float:
            flat = [number for triple in triples for number in triple] + points
            return max(flat) - min(flat) if flat else 0.0

        while len(kept) > 2:
            shorter = min((kept[1:], kept[:-1]), key=width)
            if width(shorter) > FAR * width(kept):
                break
            kept = shorter
        return cls(Axis.around([number for triple in kept for number in triple] + points, form=form), reference)

    def _across(self, value: float) -> str:
        return f"{3 + 94 * min(max(self.axis.share(value), 0.0), 1.0):.2f}%"

    def row(
        self, value: float, low: float | None, high: float | None, style: str, *, title: Markup | None = None
    ) -> Markup:
        """A dot with its interval."""
        crossing = None
        if self.reference is not None:
            here = self._across(self.reference)
            crossing = tag("line", x1=here, x2=here, y1="0", y2="100%", class_=self.reference_style)
        reach = None
        if low is not None and high is not None:
            reach = tag(
                "line", x1=self._across(low), x2=self._across(high), y1="50%", y2="50%", class_=f"reach {style}"
            )
        if not self.axis.low <= value <= self.axis.high:
            low_side = value < self.axis.low
            dot = tag(
                "text",
                "◂" if low_side else "▸",
                x="1%" if low_side else "99%",
                y="50%",
                dy="5",
                text_anchor="start" if low_side else "end",
                class_=f"beyond {style}",
            )
            return tag("svg", crossing, dot, class_="track", aria_hidden="true")
        dot = tag("circle", title, cx=self._across(value), cy="50%", r=4.5, class_=f"dot {style}")
        return tag("svg", crossing, reach, dot, class_="track", aria_hidden="true")

    def span(self, low: float, high: float, style: str, *, title: Markup | None = None) -> Markup:
        """A bar from one value to another: an action in a plan."""
        start, end = (float(self._across(value).rstrip("%")) for value in (low, high))
        rect = tag(
            "rect",
            title,
            x=f"{start:.2f}%",
            y="6",
            width=f"{max(end - start, 0.8):.2f}%",
            height="14",
            rx="4",
            class_=f"bar {style}",
        )
        return tag("svg", rect, class_="track", role="img")

    def scale(self) -> Markup:
        """The row of ticks under the others."""
        marks = self.axis.ticks(3)
        marks = marks[::2] if len(marks) > 4 else marks  # a cell is narrow on a phone
        written = [
            tag("text", self.axis.form(value), x=self._across(value), y="12", text_anchor="middle", class_="tick")
            for value in marks
        ]
        lines = [
            tag("line", x1=self._across(value), x2=self._across(value), y1="0", y2="3", class_="axis")
            for value in marks
        ]
        return tag("svg", *lines, *written, class_="track scale", aria_hidden="true")


def shares(parts: Sequence[tuple[float, str, Markup | None]]) -> Markup:
    """One bar cut into parts: (amount, style class, title)."""
    total = sum(amount for amount, _, _ in parts) or 1.0
    drawn, start = [], 0.0
    for amount, style, title in parts:
        width = 100 * amount / total
        drawn.append(
            tag(
                "rect",
                title,
                x=f"{start:.3f}%",
                y="0",
                width=f"{max(width - 0.25, 0.1):.3f}%",
                height="100%",
                class_=f"bar {style}",
            )
        )
        start += width
    return tag("svg", *drawn, class_="shares", aria_hidden="true")


def meter(share: float, style: str = "s1") -> Markup:
    """A share of a whole as a short bar."""
    return tag(
        "svg",
        tag("rect", x="0", y="0", width=f"{100 * min(max(share, 0), 1):.2f}%", height="100%", class_=f"bar {style}"),
        class_="meter",
        aria_hidden="true",
    )


def histogram(counts: Sequence[float], style: str = "s1") -> Markup:
    """A small histogram without axes, for a card."""
    top = max(counts, default=0) or 1.0
    width = 100 / max(len(counts), 1)
    bars = [
        tag(
            "rect",
            x=f"{number * width:.2f}",
            y=f"{30 - 30 * count / top:.2f}",
            width=f"{width * 0.9:.2f}",
            height=f"{30 * count / top:.2f}",
            class_=f"bar {style}",
        )
        for number, count in enumerate(counts)
    ]
    return tag("svg", *bars, viewBox="0 0 100 30", preserveAspectRatio="none", class_="histogram", aria_hidden="true")
