"""The HTTP service and its load test: `yard serve PACKAGE`, and the stage that measures it.

opening -> app (reading -> engine -> answer) -> server        the service
stage -> client, refusals, sweep -> load                      the stage, which sees the service from outside
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelyard.context import Context
    from modelyard.records.served import Served


def run(context: Context) -> Served:
    """The serve stage; see `stage`."""
    from modelyard.serve import stage  # here, so that the load generator's process stays light

    return stage.run(context)
