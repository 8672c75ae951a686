"""A forecast and its scores as plain lines for a terminal. It computes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.forecast.scoring import Error, Scored
from modelyard.records.forecast import Forecast, Gain, LanguageForecast, Likely, StageForecast

MACHINES = 4
"""Machines that are told; the file holds all."""


def lines(told: Forecast) -> list[str]:
    """The forecast, a line each."""
    rows = [["stage", "time", "90 %", "memory", "cost"]]
    rows += [_row(each.stage, each) for each in told.stages]
    rows.append(_row("all", told))
    found = [f"forecast of {told.name}: {told.task}, {told.rows:,} rows; nothing is spent yet", *_table(rows)]
    found.append(
        f"memory: {_range(told.memory, size)}, disk {size(told.disk.value.value)}, energy {told.energy.value.to('Wh'):.3g} Wh, carbon {told.carbon.value.value:.3g} g CO2e on {told.chosen}"
    )
    if not told.fits:
        found.append(
            f"warning: it may not fit: up to {size(told.memory.high.value)} of memory, this machine has {size(told.memory_here.value)}"
        )
    found += _quality(told)
    found += [line for each in told.language for line in _language(each)]
    fitting = [each for each in told.rented if each.fits]
    if fitting:
        cheapest = "; ".join(f"{each.machine} ({each.provider}) {_money(each.cost)}" for each in fitting[:MACHINES])
        found.append(f"to rent: {cheapest}")
    elif told.rented:
        found.append("to rent: no machine of the table that is no smaller than this one has the memory")
    found += [f"not tried: {each.name}: {each.reason}" for each in told.candidates if each.reason]
    found.append(
        f"the forecast took {seconds(told.spent.value)} ({told.spent.value / max(told.seconds.value.value, 1e-9):.0%} of what it predicts); constants: {told.constants}"
    )
    return found


def _row(name: str, given: StageForecast | Forecast) -> list[str]:
    return [
        name,
        seconds(given.seconds.value.value),
        _range(given.seconds, seconds),
        size(given.memory.value.value),
        _money(given.cost),
    ]


def _quality(told: Forecast) -> list[str]:
    quality = told.quality
    if quality is None:
        return [f"quality: not told: {told.no_quality}"]
    expected = quality.expected
    found = [
        f"quality: {quality.metric} {expected.value:.3f} ({expected.low:.3f} to {expected.high:.3f}), from the learning curve of {quality.candidate}"
    ]
    return found + [f"  {_gain(each)}" for each in quality.gains]


def _language(each: LanguageForecast) -> list[str]:
    found = [
        f"{each.candidate}: {each.parameters:,} parameters, {each.tokens:,.0f} tokens up to {each.epochs} times, {each.compute.value:.2g} FLOP"
    ]
    if each.best_parameters is not None and each.best_tokens is not None:
        found.append(
            f"  as pretraining on web text that compute is best spent on {each.best_parameters:,} parameters and {each.best_tokens:,} different tokens"
        )
    if each.beside == 0:
        return [*found, "  served here: not even one answer fits beside the weights"]
    return [
        *found,
        f"  served here in float32: {each.beside} answers beside each other, {size(each.cache.value)} each, at most {each.rate.value:,.0f} tokens/s",
    ]


def _gain(each: Gain) -> str:
    what = (
        f"{each.factor:g} times the rows"
        if each.what == "rows"
        else f"{each.name} in place of {each.than}, on as many rows"
    )
    return f"{what}: {each.gain.value:+.3f} ({each.gain.low:+.3f} to {each.gain.high:+.3f})"


def scores(builds: Sequence[Scored], found: Sequence[Error]) -> list[str]:
    """The errors over all builds on this machine, and the latest ones."""
    if not builds:
        return ["no build on this machine has been forecast and run to its end yet. Run: yard run blueprint.yaml"]
    rows = [["quantity", "builds", "median error", "inside 90 %"]]
    rows += [[each.quantity, str(each.builds), f"{each.median_error:.1%}", f"{each.covered:.0%}"] for each in found]
    rows.append(["pilot", str(len(builds)), f"{sum(each.pilot for each in builds) / len(builds):.1%} of the time", ""])
    return _table(rows)


def seconds(value: float) -> str:
    """0.5 s, 75 s, 12 min, 3.5 h."""
    if value < 120:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def size(value: float) -> str:
    """12 MB, 1.25 GB."""
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def _range(given: Likely, form: object) -> str:
    assert callable(form)
    return f"{form(given.low.value)} to {form(given.high.value)}"


def _money(given: Likely) -> str:
    return f"{given.value.value:.2g} {given.value.unit}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
