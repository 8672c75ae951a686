"""What a language model's size, data and machine allow: compute against the optimum of pretraining, and a bound on serving.

The optimum is that of English web text (see `scaling`): for other texts and tokenizers the direction carries over, not the number. Serving
is a bound from bytes and operations in float32, which the exported model may beat with smaller weights; `serve` measures.
"""

from __future__ import annotations

from typing import Any

from modelyard.blueprint import Blueprint
from modelyard.forecast import generating, scaling
from modelyard.forecast.calibration import Ceilings
from modelyard.forecast.trying import Candidate
from modelyard.records.forecast import LanguageForecast
from modelyard.units import Quantity

NUMBER = 4.0
"""Bytes of a weight, a key and a value: float32."""


def told(one: Candidate, blueprint: Blueprint, here: Ceilings, *, rows: int, memory: float) -> LanguageForecast | None:
    """A language model that learns from `rows` texts and is served on this machine of so much memory (bytes); None for other models."""
    if one.shape is None or one.loop is None or one.tokens <= 0 or one.parameters < 1:
        return None
    unique = one.tokens * rows
    compute = scaling.FLOP_EACH * one.parameters * unique * one.loop.epochs
    best = None if one.pretrained else scaling.best(compute)
    fitting = None if one.pretrained else scaling.best_with(unique)
    shape = generating.Shape(
        layers=one.shape["layers"], heads=one.shape["kv_heads"], width=one.shape["width"] // one.shape["heads"],
        parameters=one.parameters,
    )  # fmt: skip
    answer = float(min(blueprint.generate.max_tokens, one.shape["context"]))
    prompt = max(min(one.tokens, one.shape["context"] - answer), 0.0)
    ceiling = generating.Ceiling(flops=here.flops, bandwidth=here.bandwidth, memory=memory)
    found = generating.serving(shape, ceiling, prompt=prompt, answer=answer, weight=NUMBER, number=NUMBER)
    return LanguageForecast(
        candidate=one.name,
        parameters=one.parameters,
        tokens=unique,
        epochs=one.loop.epochs,
        compute=Quantity(compute, "FLOP"),
        best_parameters=None if best is None else round(best.parameters),
        best_tokens=None if best is None else round(best.tokens),
        fitting_parameters=None if fitting is None else round(fitting.parameters),
        cache=Quantity(shape.cache(prompt + answer, each=NUMBER), "B"),
        beside=found.batch,
        rate=Quantity(found.tokens_per_second, "token/s"),
        first_token=None if found.batch == 0 else Quantity(found.first_token, "s"),
    )


def shape_of(model: Any, features: dict[str, Any]) -> dict[str, Any] | None:
    """Layers, heads, width and context of a decoder, however its model tells them; None for a model that has none."""
    if hasattr(model, "shape"):
        return dict(model.shape(features).model_dump(mode="json"))
    found = features.get("shape")
    return dict(found) if isinstance(found, dict) and "kv_heads" in found else None
