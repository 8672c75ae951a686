"""The verb train: every candidate within one budget, then the ensemble, calibration and threshold, on validation rows.

It plans jobs (`learn.jobs`), gives each its share of the clock, and puts the chosen artifact together. It never sees test rows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelyard.context import Context
    from modelyard.records.trained import Trained


def run(context: Context) -> Trained:
    """Train every candidate and choose. The budget is kept within 10 %, or the news says that it was not."""
    from modelyard import downloads
    from modelyard.train import candidates, choosing, picturing, world

    started = time.monotonic()
    here, derived = world.look(context, started)
    named = candidates.named(here)
    queue = candidates.ordered(named)
    here.mark = candidates.mark_of(here, queue)
    before = candidates.spent(here, queue)
    allowed = candidates.allowance(here, queue, before)
    here.spent_before = before - allowed
    trained, scores = [], {}
    with downloads.obeying(context.blueprint.downloads), context.progress.bar("train", len(queue)) as advance:
        for place, (name, options) in enumerate(queue):
            found, held = candidates.train_one(here, name, options, waiting=len(queue) - place - 1)
            trained.append(found)
            if held is not None:
                scores[name] = held
            advance(1)
    record = choosing.choose(here, trained, scores)
    candidates.prune(here, queue)
    shown = picturing.augmented(here, record)
    spent, budget = time.monotonic() - started + before, context.blueprint.train.budget.to("s") + allowed
    if spent > 1.1 * budget:
        context.progress.say(f"train took {spent:.0f} s of a budget of {budget:.0f} s")
    derived.append(candidates.resolved(named))
    told = {"augmented": shown, "derived": tuple(derived), "timings": {"total": round(spent, 3)}}
    return record.model_copy(update=told)
