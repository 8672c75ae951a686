"""What the ONNX methods share: the fp32 graph, made once a member by torch's dynamo exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.compress.methods._contract import Exportable, free_length


def graph(member: Exportable) -> Any:
    """The fp32 graph as an `onnx.ModelProto`: inputs named as the model's arrays, rows and length free."""
    return _clean(graph_file(member))


def graph_file(member: Exportable) -> Path:
    """The same as a file, as the exporter wrote it."""
    if "onnx" not in member.made:
        import torch

        with quietly(), free_length():
            made = torch.onnx.export(
                member.program,
                dynamo=True,
                input_names=list(member.examples),
                output_names=list(member.model.exports),
                verbose=False,
                optimize=True,
            )
        place = member.workshop / "fp32.onnx"
        made.save(place)
        member.made["onnx"] = place
    found: Path = member.made["onnx"]
    return found


def _clean(place: Path) -> Any:
    """Without source lines of this machine (the exporter records them), and without `value_info`.

    `quantize_dynamic` rejects the exporter's inferred shapes; both runtimes infer their own.
    """
    import onnx

    model = onnx.load(str(place))
    del model.graph.value_info[:]
    del model.metadata_props[:], model.graph.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model


@contextmanager
def quietly() -> Iterator[None]:
    """Exporters print and warn about what does not concern this model (torchvision's operators, deprecated calls)."""
    loggers = [
        logging.getLogger(name)
        for name in ("torch", "torch.onnx", "torch.onnx._internal.exporter._registration", "nncf", "root")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
