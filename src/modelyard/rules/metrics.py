"""Names of metrics: a wrong one would be found only when the training is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from modelyard import metrics, parts
from modelyard.blueprint import Blueprint
from modelyard.errors import UserError
from modelyard.rules._contract import Fault, Path, Rule


@final
class Part(Rule):
    """`train.metric`, `evaluate.metrics`, `evaluate.gates` and `market.quality` name metrics of the task's kind."""

    def check(self, values: Mapping[str, Any], blueprint: Blueprint | None, fault: Fault) -> None:
        """See the class."""
        task = values.get("task")
        kind = parts.load("tasks", task).kind if isinstance(task, str) and task in parts.names("tasks") else None

        def one(name: Any, path: Path) -> None:
            try:
                if isinstance(name, str):
                    metrics.find(name, kind)
            except UserError as error:
                fault(path, str(error))

        def section(name: str) -> Mapping[str, Any]:
            found = values.get(name)
            return found if isinstance(found, Mapping) else {}

        evaluate = section("evaluate")
        one(section("train").get("metric"), ("train", "metric"))
        one(section("market").get("quality"), ("market", "quality"))
        listed, gates = evaluate.get("metrics"), evaluate.get("gates")
        for place, name in enumerate(listed if isinstance(listed, (list, tuple)) else ()):
            one(name, ("evaluate", "metrics", place))
        for name in gates if isinstance(gates, Mapping) else ():
            one(name, ("evaluate", "gates", name))
