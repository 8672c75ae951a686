"""Batch jobs: a file of rows is left with the service, answered when there is time, and fetched. Cheaper, and it survives anything.

    POST /v1/jobs ─► state/jobs/<id>/{job.json, rows.jsonl} ─► piece by piece through gate and engine ─► results.jsonl ─► GET .../results

Each piece of rows is a request of its own in the ledger, under an idempotency key that its job and number give it, at the tariff
`batch`. Whatever dies between billing a piece and writing its results down, the piece is found in the ledger and not billed twice.
The jobs of a state folder belong to its host; of its processes, whoever holds a job's lock works at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import fcntl
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic_core import from_json

from modelyard.errors import RequestError
from modelyard.frozen import Frozen
from modelyard.rows import Column, Rows
from modelyard.serve.fleet import Entry, Fleet
from modelyard.serve.gate import Answer, Caller, Gate, Used, idempotency_of
from modelyard.serve.limits import Limits
from modelyard.serve.lines import say, say_failure
from modelyard.serve.reading import check_headers, check_records, read_body
from modelyard.serve.refusing import Refused
from modelyard.store import read_json, write_json

Json = dict[str, Any]
FOLDER, TARIFF = "jobs", "batch"
MOST_ROWS, MOST_BYTES = 100_000, 256 * 2**20
"""Of one job."""
MOST_LINES = 4 * MOST_ROWS
"""Lines of one file, empty ones and those inside a quoted field included."""
MOST_COLUMNS = 10_000
"""Of a CSV file's head."""
MOST_OPEN = 20
"""Jobs of one customer that are not finished."""
MOST_KEPT, MOST_DISK = 1000, 4 * 2**30
"""Jobs of one customer, finished ones included, and bytes of their files, from which no further one is taken."""
MOST_UPLOADS = 4
"""Files that one process receives at once, one for each customer."""
PIECE, PIECE_TIME = 64, 2.0
"""Rows in a piece at most, and seconds that it may take by what one row takes."""
MOST_FAILURES = 3
"""Times that a job may break something here before it is stopped."""
BROKEN = "something went wrong here with one of its rows. What was answered before stands in the results."
LOOK = 1.0
"""Seconds between looks for work."""
KEPT = 7 * 86_400.0
"""Seconds for which a finished job and its results are kept."""
_ID = re.compile(r"job_[a-z0-9]{20}")
Status = Literal["waiting", "running", "done", "stopped"]


class Job(Frozen):
    """A job as its file says."""

    id: str
    model: str
    customer: str
    key: str
    """Id of the key that brought it."""
    digest: str
    """Hash of that key's secret: with it the ledger is asked; a revoked key stops its jobs."""
    rows: int
    piece: int
    """Rows in a piece; it never changes, because the ledger knows pieces by their numbers."""
    created: float
    status: Status = "waiting"
    done: int = 0
    """Rows that are answered."""
    failed: int = 0
    """Of these, rows that could not be answered; they are not billed."""
    reason: str = ""
    """Why it stopped."""
    ended: float | None = None
    body: str = ""
    """Hash of the model's name and the rows, so that its idempotency key is no other job's."""

    def told(self) -> Json:
        """As its customer sees it."""
        return self.model_dump(mode="json", exclude={"customer", "key", "digest", "piece", "body"})


class Jobs:
    """The jobs of a state folder, as one process works at them."""

    def __init__(self, state: Path, gate: Gate, fleet: Fleet, limits: Limits) -> None:
        self._folder, self._gate, self._fleet = state / FOLDER, gate, fleet
        self._limits = limits.model_copy(update={"max_body": MOST_BYTES, "body_time": 600.0})
        self._longest = limits.max_body
        self._senders: set[str] = set()
        self._broken: dict[str, int] = {}
        """How often in a row a job could not be worked at."""

    def routes(self) -> list[Any]:
        """Starlette's routes."""
        from starlette.routing import Route

        return [
            Route("/v1/jobs", self.create, methods=["POST"]),
            Route("/v1/jobs", self.listed, methods=["GET"]),
            Route("/v1/jobs/{job}", self.one, methods=["GET"]),
            Route("/v1/jobs/{job}", self.remove, methods=["DELETE"]),
            Route("/v1/jobs/{job}/results", self.results, methods=["GET"]),
        ]

    # -- endpoints -------------------------------------------------------------------------------------------------------

    async def create(self, request: Any) -> Any:
        """POST /v1/jobs?model=NAME with JSON Lines or CSV: the job, 202; the same one for the same Idempotency-Key."""
        caller = await self._gate.caller(request.headers, TARIFF)
        check_headers(request.headers)
        given = idempotency_of(request.headers)
        entry = self._fleet.entry(request.query_params.get("model"))
        mark = (
            secrets.token_hex(10) if given is None else sha256(f"{caller.customer} {given}".encode()).hexdigest()[:20]
        )
        identity = f"job_{mark}"
        if not self._place(identity).exists():
            await asyncio.to_thread(self._check_room, caller.customer)
        with self._uploading(caller.customer):
            body = await read_body(request.stream(), request.headers.get("content-length"), self._limits)
            asked = sha256(entry.live.name.encode() + b"\n" + body).hexdigest()
            if self._place(identity).exists():
                earlier = self._read(identity, caller)
                if earlier.body not in ("", asked):
                    raise Refused(
                        422, "idempotency_conflict", "this idempotency key was used for another job. Send a new key."
                    )
                return _json(earlier.told(), status=202)
            each = (
                1
                if entry.live.writes
                else max(1, min(PIECE, int(PIECE_TIME / max(entry.live.engine.single_time, 1e-6))))
            )
            job = Job(
                id=identity, model=entry.live.name, customer=caller.customer, key=caller.key, digest=caller.digest,
                rows=0, piece=each, created=time.time(), body=asked,
            )  # fmt: skip
            job = await asyncio.to_thread(
                self._store, job, body, request.headers.get("content-type", ""), self._longest
            )
        say("job", id=job.id, model=job.model, rows=job.rows, key=caller.shown)
        return _json(job.told(), status=202)

    async def listed(self, request: Any) -> Any:
        """GET /v1/jobs: the caller's, the latest first."""
        caller = await self._gate.caller(request.headers, TARIFF)
        jobs = await asyncio.to_thread(self._all)
        mine = [job.told() for job in jobs if job.customer == caller.customer]
        return _json({"jobs": sorted(mine, key=lambda job: -job["created"])})

    async def one(self, request: Any) -> Any:
        """GET /v1/jobs/ID."""
        caller = await self._gate.caller(request.headers, TARIFF)
        return _json(self._read(request.path_params["job"], caller).told())

    async def remove(self, request: Any) -> Any:
        """DELETE /v1/jobs/ID: it stops, and its rows and results go; what was answered stays billed."""
        caller = await self._gate.caller(request.headers, TARIFF)
        job = self._read(request.path_params["job"], caller)
        await asyncio.to_thread(shutil.rmtree, self._place(job.id), True)
        return _json({"id": job.id, "removed": True})

    async def results(self, request: Any) -> Any:
        """GET /v1/jobs/ID/results: JSON Lines in the order of the rows; what is there yet."""
        from starlette.responses import StreamingResponse

        caller = await self._gate.caller(request.headers, TARIFF)
        job = self._read(request.path_params["job"], caller)
        headers = {"x-job-status": job.status, "x-job-rows": str(job.done)}
        return StreamingResponse(
            _lines(self._place(job.id) / "results.jsonl", job.done), media_type="application/x-ndjson", headers=headers
        )

    # -- files -----------------------------------------------------------------------------------------------------------

    def _place(self, identity: str) -> Path:
        return self._folder / identity

    def _all(self) -> list[Job]:
        found = []
        for place in sorted(self._folder.glob("job_*")):
            with contextlib.suppress(OSError, ValueError):  # being made, or removed this moment
                found.append(Job.model_validate(read_json(place / "job.json")))
        return found

    def _read(self, identity: str, caller: Caller) -> Job:
        """A job of the caller's customer; 404 for any other, as for one that is not."""
        with contextlib.suppress(OSError, ValueError):
            if _ID.fullmatch(identity):
                job = Job.model_validate(read_json(self._place(identity) / "job.json"))
                if job.customer == caller.customer:
                    return job
        raise Refused(404, "not_found", f"no job {identity[:40]!r}.")

    def _check_room(self, customer: str) -> None:
        """429 where the customer has enough jobs that are not finished, or enough on the disk."""
        mine = [job for job in self._all() if job.customer == customer]
        if sum(job.ended is None for job in mine) >= MOST_OPEN:
            raise Refused(
                429, "too_many_jobs", f"{MOST_OPEN} jobs wait or run already. Wait for one to end.",
                headers={"Retry-After": "60"},
            )  # fmt: skip
        kept = sum(file.stat().st_size for job in mine for file in self._place(job.id).glob("*.jsonl"))
        if len(mine) >= MOST_KEPT or kept >= MOST_DISK:
            raise Refused(
                429, "too_many_jobs", f"{len(mine)} jobs of {kept // 2**20} MiB are kept. Remove some: DELETE /v1/jobs/ID.",
                headers={"Retry-After": "3600"},
            )  # fmt: skip

    @contextlib.contextmanager
    def _uploading(self, customer: str) -> Iterator[None]:
        """One file at a time for each customer, a few for all: each may hold a quarter of a gigabyte in memory."""
        if customer in self._senders or len(self._senders) >= MOST_UPLOADS:
            raise Refused(
                429, "too_many_uploads", "another file of rows is being received. Send this one after it.",
                headers={"Retry-After": "5"},
            )  # fmt: skip
        self._senders.add(customer)
        try:
            yield
        finally:
            self._senders.discard(customer)

    def _store(self, job: Job, body: bytes, media: str, longest: int) -> Job:
        """The rows first, the job's file last: what has none is no job yet. Refused where they cannot be read."""
        place = self._place(job.id)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with (place / "rows.jsonl").open("w", encoding="utf-8") as file:
                rows = 0
                for record in _records(body, media, longest):
                    rows += 1
                    if rows > MOST_ROWS:
                        raise Refused(413, "too_many_rows", f"more than {MOST_ROWS} rows in one job.")
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            if not rows:
                raise Refused(
                    400, "no_rows", "the file holds no row. Send JSON Lines, or CSV (Content-Type: text/csv) with a head."
                )  # fmt: skip
        except BaseException:
            if not (place / "job.json").exists():
                shutil.rmtree(place, ignore_errors=True)
            raise
        job = job.model_copy(update={"rows": rows})
        write_json(place / "job.json", job.model_dump(mode="json"))
        return job

    # -- working ---------------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Look for jobs for ever, and work at one after the other; oldest first."""
        while True:
            try:
                for job in sorted(await asyncio.to_thread(self._all), key=lambda job: job.created):
                    if job.ended is None:
                        await self._try_at(job)
                    elif time.time() - job.ended > KEPT:
                        await asyncio.to_thread(shutil.rmtree, self._place(job.id), True)
            except Exception as error:
                say_failure(error, while_doing="working at batch jobs")
            await asyncio.sleep(LOOK)

    async def _try_at(self, job: Job) -> None:
        """Work at a job; one that breaks the model again and again is stopped, and holds up no other."""
        try:
            await self._work_at(job)
            self._broken.pop(job.id, None)
        except Exception as error:
            say_failure(error, while_doing=f"working at {job.id}")
            self._broken[job.id] = self._broken.get(job.id, 0) + 1
            if self._broken[job.id] >= MOST_FAILURES:
                del self._broken[job.id]
                with contextlib.suppress(OSError, ValueError):  # removed meanwhile
                    left = Job.model_validate(read_json(self._place(job.id) / "job.json"))
                    self._noted(left, status="stopped", reason=BROKEN, ended=time.time())

    async def _work_at(self, job: Job) -> None:
        place = self._place(job.id)
        with _held(place / "lock") as mine:
            if not mine:
                return
            job = Job.model_validate(read_json(place / "job.json"))
            entry = self._fleet.entries.get(job.model)
            if job.ended is not None or entry is None or not entry.live.ready or not self._gate.healthy:
                return
            done, failed = _kept_lines(place / "results.jsonl", job.piece, job.rows)
            job = self._noted(job, status="running", done=done, failed=failed)
            with (place / "rows.jsonl").open("rb") as rows, (place / "results.jsonl").open("ab") as results:
                for _ in islice(rows, done):
                    pass
                while job.done < job.rows:
                    lines = list(islice(rows, job.piece))
                    try:
                        answered = await self._piece(job, entry, job.done // job.piece, lines)
                    except Refused as refused:
                        if refused.status in (409, 429, 503, 504) and refused.type != "quota_exceeded":
                            await asyncio.sleep(min(float(refused.headers.get("Retry-After", "1")), 30.0))
                            self._noted(job, status="waiting")
                            return  # and again at the next look, from here
                        self._noted(job, status="stopped", reason=refused.message, ended=time.time())
                        return
                    if not place.exists():
                        return  # removed meanwhile
                    results.write(answered)
                    results.flush()
                    os.fsync(results.fileno())
                    bad = answered.count(b'{"error":')
                    job = self._noted(job, done=min(job.done + job.piece, job.rows), failed=job.failed + bad)
            self._noted(job, status="done", ended=time.time())
            say("job_done", id=job.id, rows=job.rows, failed=job.failed)

    def _noted(self, job: Job, **changed: Any) -> Job:
        job = job.model_copy(update=changed)
        if self._place(job.id).exists():
            write_json(self._place(job.id) / "job.json", job.model_dump(mode="json"))
        return job

    async def _piece(self, job: Job, entry: Entry, number: int, lines: Sequence[bytes]) -> bytes:
        """The results of a piece, a line a row; billed for the rows that could be answered."""
        records = [from_json(line) for line in lines]
        caller = Caller(job.customer, job.key, job.digest)

        async def work() -> tuple[Answer, Used]:
            good, told = _sorted_out(records, entry.live.inputs)
            units: dict[str, int] = {}
            version = entry.live.version
            waiting = [good] if good else []
            while waiting:  # an image that cannot be read is found by halves: the other rows are answered all the same
                chosen = waiting.pop()

                def read(inputs: Sequence[Column], chosen: Sequence[int] = chosen) -> Rows:
                    return check_records([records[row] for row in chosen], inputs)

                try:
                    answered, deployed, _ = await self._fleet.answer(
                        entry, read, token=job.id, caller=job.customer, later=True
                    )
                except RequestError as error:
                    if len(chosen) > 1:
                        middle = len(chosen) // 2
                        waiting += [chosen[middle:], chosen[:middle]]
                    else:
                        told[chosen[0]] = {"error": "; ".join(text for *_, text in error.faults) or str(error)}
                else:
                    version = deployed.version
                    for unit, count in ({"request": len(chosen)} | dict(answered.usage)).items():
                        units[unit] = units.get(unit, 0) + count
                    told |= {row: dict(answer) for row, answer in zip(chosen, answered.answers, strict=True)}
            first = number * job.piece
            body = b"".join(_line({**told[row], "row": first + row}) for row in range(len(records)))
            return Answer(body, media="application/x-ndjson"), Used(units, job.model, version)

        body = b"".join(lines)
        answer = await self._gate.metered(
            caller, work, idempotency=f"{job.id} {number}", body=body, bound=entry.live.bound(len(records)), scope=TARIFF,
            tariff=TARIFF,
        )  # fmt: skip
        return answer.body


def _sorted_out(records: Sequence[Json], inputs: Sequence[Column]) -> tuple[list[int], dict[int, Json]]:
    """Numbers of the rows that can be answered, and what is wrong with the others."""
    good, told = [], dict[int, Json]()
    for row, record in enumerate(records):
        try:
            check_records([record], inputs)
            good.append(row)
        except Refused as refused:
            told[row] = {"error": refused.message.removeprefix("row 0: "), "field": refused.faults[0][1]}
    return good, told


def _records(body: bytes, media: str, longest: int) -> Iterator[Json]:
    """Rows of JSON Lines, or of CSV with a head, one at a time; 400 with the line that cannot be read, 413 where one is too long."""
    lines = _text_lines(body, longest)
    if "csv" not in media.lower():
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                given = from_json(line, allow_inf_nan=False)
            except ValueError as error:
                raise Refused(400, "invalid_json", f"line {number} is not JSON: {error}") from None
            if not isinstance(given, dict):
                raise Refused(400, "invalid_json", f"line {number} must be an object of fields.")
            yield given
        return
    table = csv.reader(lines)
    try:
        head = next(table, [])
        if len(head) > MOST_COLUMNS:
            raise Refused(413, "too_many_columns", f"{len(head)} columns. Allowed: at most {MOST_COLUMNS}.")
        for row in table:
            if row:
                yield {name: value for name, value in zip(head, row, strict=False) if value != ""}
    except csv.Error as error:
        raise Refused(
            400, "invalid_csv", f"line {table.line_num} cannot be read: {error}. Long texts are sent as JSON Lines."
        ) from None


def _text_lines(body: bytes, longest: int) -> Iterator[str]:
    """Lines of a text in UTF-8 with their ends; 400 or 413 at the first that is none, or is longer than one request may be."""
    place = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    count = 0
    while place < len(body):
        end = body.find(b"\n", place) + 1 or len(body)
        count += 1
        if end - place > longest:
            raise Refused(413, "line_too_long", f"line {count} has more than {longest} bytes.")
        if count > MOST_LINES:
            raise Refused(413, "too_many_rows", f"more than {MOST_LINES} lines in one job.")
        try:
            yield body[place:end].decode()
        except UnicodeDecodeError as error:
            raise Refused(400, "invalid_text", f"the rows are not UTF-8 (byte {place + error.start}).") from None
        place = end


def _kept_lines(path: Path, piece: int, rows: int) -> tuple[int, int]:
    """Rows whose results stand in the file, in whole pieces; what was half written is cut off."""
    if not path.exists():
        return 0, 0
    content = path.read_bytes()
    ends = [index for index, byte in enumerate(content) if byte == 10]
    whole = len(ends) if len(ends) >= rows else len(ends) // piece * piece
    size = ends[whole - 1] + 1 if whole else 0
    os.truncate(path, size)
    return whole, content[:size].count(b'{"error":')


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Whether the lock could be had; held until the end."""
    try:
        file = path.open("a")
    except OSError:  # removed
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


async def _lines(path: Path, rows: int) -> AsyncIterator[bytes]:
    """So many lines of a file."""
    if path.exists():
        with path.open("rb") as file:
            while batch := list(islice(file, min(1000, rows))):
                rows -= len(batch)
                yield b"".join(batch)


def _line(content: Json) -> bytes:
    ordered = {"error": content["error"], **content} if "error" in content else content
    return (
        json.dumps(ordered, ensure_ascii=False, separators=(",", ":"), default=lambda value: value.item()).encode()
        + b"\n"
    )


def _json(content: Json, *, status: int = 200) -> Any:
    from starlette.responses import Response

    return Response(
        json.dumps(content, ensure_ascii=False).encode(), status, headers={"content-type": "application/json"}
    )
