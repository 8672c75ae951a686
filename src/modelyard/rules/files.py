"""Files that the business section names: read before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from modelyard.blueprint import Blueprint
from modelyard.business import rates, surveys
from modelyard.errors import UserError
from modelyard.rules._contract import Fault, Rule


@final
class Part(Rule):
    """The price table has the machine, and the survey its columns."""

    def check(self, values: Mapping[str, Any], blueprint: Blueprint | None, fault: Fault) -> None:
        """See the class."""
        if blueprint is None:
            return
        business, folder = blueprint.business, blueprint.folder
        table = folder / business.rates if business.rates else None
        if table is not None or business.rent != "on-demand":
            key = "rates"
            try:
                machines = rates.machines(table)
                if business.machine:
                    key = "rent" if business.machine in machines else "machine"
                    rates.machine(business.machine, rent=business.rent, file=table)
            except UserError as error:
                fault(("business", key), str(error))
        if business.survey is not None:
            try:
                surveys.Answers.read(folder / business.survey.file, prices=business.survey.prices)
            except UserError as error:
                fault(("business", "survey", "file"), str(error))
