"""The models that one process serves, and the versions of each: which one a request asks, and how one takes another's place.

    request ─► model by name ─► live version
                            └─► canary, for its share of the requests; where it fails, the live version answers instead
                            └─► shadow, asked the same afterwards; nobody is told its answers

The process converges on the deployment document of its state folder (`deployment`): a new version is opened and warmed beside the
old one, takes its place between two requests, and the old one ends with its last request. A trial that shows itself worse
(`judging`) is rolled back in the document, so that every process of the host drops it. It knows nothing about HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from modelyard.errors import ModelyardError, RequestError
from modelyard.rows import Column, Rows
from modelyard.serve.deployed import Deployed, warmed
from modelyard.serve.deployment import Deployment, DeploymentFile, Placed, Trial
from modelyard.serve.engine import Answered
from modelyard.serve.judging import Comparison
from modelyard.serve.lines import say, say_failure
from modelyard.serve.refusing import Refused

LOOK = 0.5
"""Seconds between looks at the deployment document."""
COMPARED = 0.2
"""Share of a canary's requests that the live version answers too, for comparison."""
MOST_BESIDE = 8
"""Comparisons under way at once; further ones are left out rather than queued."""
SAME = 0.01
"""Relative difference up to which two numbers are the same answer."""

Open = Callable[[Path], Deployed]


@dataclass(frozen=True, slots=True)
class Tried:
    """A version that is tried, and its terms."""

    deployed: Deployed
    terms: Trial


class Entry:
    """One model: the version that is live, and the one that is tried."""

    def __init__(self, live: Deployed) -> None:
        self.live = live
        self.trial: Tried | None = None
        self.seen = Comparison()

    def takes(self, token: str) -> Tried | None:
        """The trial, where it has this request: always the same for the same token."""
        if self.trial is not None and crc32(token.encode()) % 10_000 < self.trial.terms.percent * 100:
            return self.trial
        return None


class Fleet:
    """The models of this process.

    `opened` are the versions it starts with, by name. With a `file`, `follow` keeps it in step with the document; `open_` makes a
    version of a placed package's folder.
    """

    def __init__(
        self, opened: Mapping[str, Deployed], *, file: DeploymentFile | None = None, open_: Open | None = None
    ) -> None:
        self.entries = {name: Entry(deployed) for name, deployed in opened.items()}
        self.default = next(iter(self.entries), "")
        self._file, self._open = file, open_
        self.watch: Callable[[Deployed, Rows, Answered], None] = lambda deployed, rows, answered: None
        """Is told what was answered to whom it was meant for: neither comparisons nor shadows."""
        self._beside: set[asyncio.Task[None]] = set()
        self._broken: dict[Placed, str] = {}
        """What could not be opened here, or was rolled back, and why."""

    @property
    def follows(self) -> bool:
        """Whether there is a document to follow."""
        return self._file is not None

    @property
    def ready(self) -> bool:
        """Whether every model's live version is warm."""
        return bool(self.entries) and all(entry.live.ready for entry in self.entries.values())

    @property
    def waiting(self) -> int:
        """Requests that wait for a model."""
        return sum(entry.live.waiting for entry in self.entries.values())

    def entry(self, name: str | None) -> Entry:
        """The model of a name, by default the first one; 404 where there is none."""
        found = self.entries.get(name or self.default)
        if found is None:
            raise Refused(
                404, "model_not_found", f"no model {(name or '')[:100]!r} here. There are: {', '.join(self.entries)}"
            )
        return found

    def warm(self) -> None:
        """Warm every live version; blocks."""
        for entry in self.entries.values():
            entry.live.warm()

    def close(self) -> None:
        """End every version; what is being answered is finished first."""
        for task in self._beside:
            task.cancel()
        for entry in self.entries.values():
            self._drop_trial(entry)
            entry.live.retire()

    async def answer(
        self, entry: Entry, read: Callable[[Sequence[Column]], Rows], *, token: str, **how: Any
    ) -> tuple[Answered, Deployed, Rows]:
        """Answers, the version that gave them, and the rows it read.

        `read` makes rows for a version's inputs, and raises what the client did wrong; `token` chooses between live and canary; `how`
        goes to the engine. A canary that fails in any way costs the client nothing but time: the live version answers.
        """
        tried, doubt = entry.takes(token), False
        if tried is not None and tried.terms.kind == "canary":
            trial = tried.deployed
            with trial:
                try:
                    rows = read(trial.inputs)
                    answered = await trial.engine.answer(rows, **how)
                except (Refused, RequestError):
                    doubt = True  # the client's mistake, or the trial's: the live version tells
                except Exception as error:
                    say_failure(error, while_doing=f"trying {trial.name} {trial.version}")
                    self._note(entry, trial, None)
                else:
                    self._note(entry, trial, answered.computed)
                    self._compare(entry, entry.live, read, answered, share=COMPARED)
                    self.watch(trial, rows, answered)
                    return answered, trial, rows
        live = entry.live
        with live:
            rows = read(live.inputs)
            try:
                answered = await live.engine.answer(rows, **how)
            except Exception as error:
                if not isinstance(error, RequestError) and not (isinstance(error, Refused) and error.status < 500):
                    entry.seen.live.add(None)
                raise
        entry.seen.live.add(answered.computed)
        if tried is not None and doubt:
            self._note(entry, tried.deployed, None)
        elif tried is not None and tried.terms.kind == "shadow":
            self._compare(entry, tried.deployed, read, answered, share=1.0)
        self.watch(live, rows, answered)
        return answered, live, rows

    def choose(self, entry: Entry, *, token: str) -> Deployed:
        """The version that writes a text: the canary for its share of the requests. A text is not compared: none equals another."""
        tried = entry.takes(token)
        return tried.deployed if tried is not None and tried.terms.kind == "canary" else entry.live

    def _note(self, entry: Entry, trial: Deployed, seconds: float | None) -> None:
        """The trial answered in so many seconds, or not at all."""
        if entry.trial is not None and entry.trial.deployed is trial:
            entry.seen.trial.add(seconds)
            self._judge(entry)

    def _compare(
        self,
        entry: Entry,
        other: Deployed,
        read: Callable[[Sequence[Column]], Rows],
        answered: Answered,
        *,
        share: float,
    ) -> None:
        """Ask the other version the same, afterwards and beside, and note whether it says the same."""
        if len(self._beside) >= MOST_BESIDE or random.random() >= share:
            return
        task = asyncio.get_running_loop().create_task(self._ask_beside(entry, other, read, answered))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _ask_beside(
        self, entry: Entry, other: Deployed, read: Callable[[Sequence[Column]], Rows], answered: Answered
    ) -> None:
        seen = entry.seen
        with other:
            try:
                found = await other.engine.answer(read(other.inputs))
            except Exception:
                self._note(entry, other, None)  # the live version's own failures are counted where clients meet them
                return
        self._note(entry, other, found.computed)
        seen.compared += len(found.answers)
        seen.differed += sum(not alike(*pair) for pair in zip(found.answers, answered.answers, strict=True))
        self._judge(entry)

    def _judge(self, entry: Entry) -> None:
        """End the trial where it has shown itself worse: here at once, and in the document for every other process."""
        tried = entry.trial
        if tried is None or not (reason := entry.seen.worse(disagreement=tried.terms.disagreement)):
            return
        self._drop_trial(entry)
        self._roll_back(tried.deployed.name, tried.terms.placed, reason)

    def _roll_back(self, name: str, placed: Placed, reason: str) -> None:
        say("rolled_back", model=name, version=placed.version, reason=reason)
        self._broken[placed] = reason  # not tried again here, whatever the document says until it is written
        if self._file is not None:
            with contextlib.suppress(ModelyardError, OSError):
                self._file.roll_back(name, now=time.time(), reason=reason, trial=placed.hash)

    # -- converging on the document --------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Look at the document for ever, and converge on it when it changes."""
        assert self._file is not None
        stamp: Any = None
        while True:
            try:
                if (now := self._file.stamp()) != stamp:
                    stamp = now
                    await self.converge(self._file.read())
            except Exception as error:  # the versions that answer go on answering
                say_failure(error, while_doing="following the deployment")
            await asyncio.sleep(LOOK)

    async def converge(self, deployment: Deployment) -> None:
        """Serve what the document says; a version that cannot be opened leaves the one before it in place."""
        self.default = deployment.default or self.default
        for name, model in deployment.models.items():
            entry = self.entries.get(name)
            tried = entry.trial if entry is not None else None
            if entry is not None and tried is not None and tried.deployed.hash == model.live.hash:
                entry.trial = None
                self._replace(entry, tried.deployed)  # warm already
            elif entry is None or entry.live.hash != model.live.hash:
                fresh = await self._opened(model.live)
                if fresh is None:
                    continue
                if entry is None:
                    entry = self.entries[name] = Entry(fresh)
                    say("serving", model=name, version=fresh.version)
                else:
                    self._replace(entry, fresh)
            await self._try(name, entry, model.trial)
        for name in self.entries.keys() - deployment.models.keys():
            self._drop_trial(self.entries[name])
            self.entries.pop(name).live.retire()
        self.default = self.default if self.default in self.entries else next(iter(self.entries), "")

    def _replace(self, entry: Entry, fresh: Deployed) -> None:
        old, entry.live, entry.seen = entry.live, fresh, Comparison()
        old.retire()
        say("swapped", model=fresh.name, before=old.version, version=fresh.version)

    async def _try(self, name: str, entry: Entry, wanted: Trial | None) -> None:
        """Begin, change or end the trial of a model."""
        if wanted is None:
            self._drop_trial(entry)
            return
        if entry.trial is not None and entry.trial.deployed.hash == wanted.placed.hash:
            entry.trial = Tried(entry.trial.deployed, wanted)
            return
        self._drop_trial(entry)
        fresh = await self._opened(wanted.placed)
        if fresh is None:
            self._roll_back(name, wanted.placed, self._broken[wanted.placed])
            return
        entry.trial, entry.seen = Tried(fresh, wanted), Comparison()
        say("trying", model=name, version=fresh.version, kind=wanted.kind, percent=wanted.percent)

    def _drop_trial(self, entry: Entry) -> None:
        if entry.trial is not None:
            trial, entry.trial = entry.trial.deployed, None
            trial.retire()

    async def _opened(self, placed: Placed) -> Deployed | None:
        """A placed package, open and warm; None where it cannot be opened, which is said once."""
        if placed in self._broken or self._file is None or self._open is None:
            return None
        folder, loop = self._file.state / placed.folder, asyncio.get_running_loop()
        try:
            deployed = await loop.run_in_executor(None, self._open, folder)
            await warmed(deployed)
        except Exception as error:
            say_failure(error, while_doing=f"opening {placed.folder}")
            self._broken[placed] = f"it could not be opened: {error}"
            return None
        return deployed


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two answers say the same: equal, or numbers within `SAME`."""
    first, second = one.get("answer"), other.get("answer")
    if isinstance(first, (int, float)) and isinstance(second, (int, float)):
        return abs(first - second) <= SAME * max(abs(first), abs(second), 1e-9)
    return bool(first == second)
