"""The till: the asynchronous front of the ledger, one for each process of a service.

Whatever waits is committed in ONE transaction (group commit): under load many requests share the cost of a commit; where there are
few, each has its own, and none waits for the others. Where a commit only writes into the page cache (SQLite that is to survive a
killed process), the event loop makes it itself: that takes a fraction of a millisecond, and handing it to a thread and back costs
more. Everything else is drained by one thread: PostgreSQL, a commit that waits for the disk, and whatever the loop could not do at
once because another process held the database. A second thread renews the lease when nothing happens, reaps dead writers, forgets old
answers and moves SQLite's WAL into the file, off the path of requests.

A disk that is full or a database that is gone fails the operations that wait with DatabaseFault and nothing half-written; what
they held is given back when the database answers again, and the till goes on by itself.

    till = Till(database, box); till.start()
    got = await till.reserve(key_id, secret_hash, idempotency, body_hash, {"request": 1})
    paid = await till.settle(got, {"request": 1}, answer, model="mails", version="3")     # only then the answer leaves
    await till.stop()
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from modelyard.accounts import answers, ledger, writers
from modelyard.accounts.answers import Box
from modelyard.accounts.chain import anchor
from modelyard.accounts.database import Database, Transaction
from modelyard.accounts.keys import Key
from modelyard.accounts.ledger import Asked, Lost, Refusal, Reserved, Settled
from modelyard.accounts.times import SECOND
from modelyard.accounts.writers import Ended, Writer, open_writer, writing
from modelyard.errors import DatabaseFault

T = TypeVar("T")
log = logging.getLogger("modelyard.accounts")
GROUP = 256
"""Operations in one transaction at most: about 50 ms of work, far below a lease."""
AT_ONCE = 32
"""Operations that the event loop performs in one of its turns: about 5 ms of work."""
PATIENCE = 2.0
"""Seconds for which a database that is gone or locked is tried again before the operations fail."""
PAUSE = 0.05
CALLER_SECONDS = 1.0
"""A key that was right is believed at the door for so long; `reserve` asks the database each time."""
CALLERS = 10_000
WAL = 32 * 2**20
"""Bytes of SQLite's WAL that begin a checkpoint: it waits for the disk, and commits wait with it, so it comes every few thousand requests."""
FORGET_EACH = 60.0
Work = Callable[[Transaction, Writer], Any]


class _Operation(Generic[T]):
    """Work that waits, and where its result goes. `order` is the customer: locks are taken in one order everywhere. `unheard` is given
    the result where nobody waits for it any more: the caller was cancelled."""

    __slots__ = ("done", "loop", "order", "unheard", "work")

    def __init__(
        self,
        work: Work,
        order: str,
        done: Any,
        loop: asyncio.AbstractEventLoop | None,
        unheard: Callable[[Any], None] | None = None,
    ) -> None:
        self.work, self.order, self.done, self.loop, self.unheard = work, order, done, loop, unheard


class Till:
    """See the module. Thread-safe; `stop` when done. Make it, and its database, after a fork: connections do not survive one."""

    def __init__(self, database: Database, box: Box) -> None:
        self.database, self._box = database, box
        self._queue: queue.SimpleQueue[_Operation[Any] | None] = queue.SimpleQueue()
        self._owed: deque[tuple[Reserved | None, str]] = deque()
        self._quick = database.impatient() if database.kind == "sqlite" and database.durability == "process" else None
        self._soon: list[_Operation[Any]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.few: Callable[[], bool] = lambda: False
        """Whether hardly anybody else asks now: then an operation is committed on the spot, instead of waiting for others to share it."""
        self._turn = threading.Lock()
        """Held by whoever uses the writer: the loop, or the thread."""
        self._callers: dict[tuple[str, str], tuple[float, Key]] = {}
        self._customers: dict[str, str] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._writer = Writer("")
        self.healthy = True
        """Whether the last transaction went through: readiness tells it."""

    def start(self) -> None:
        """Open a writer, anchor the other chains, begin. DatabaseFault where the database cannot be used."""
        self._open()
        for work in (self._serve, self._keep_house):
            thread = threading.Thread(target=work, name=f"till{work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    async def stop(self) -> None:
        """Finish what waits, anchor, end the writer."""
        while self._soon:
            self._perform_soon()
        await asyncio.to_thread(self.stop_now)
        if self._quick is not None:
            self._quick.close()

    def stop_now(self) -> None:
        """The same, blocking."""
        self._stopping.set()
        self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._deliver(late := self._rest(), [_closed()] * len(late))
        with contextlib.suppress(DatabaseFault, Ended), writing(self.database, self._writer) as held:
            anchor(held, self._writer)
            for row in held.all(ledger.OF_WRITER, (self._writer.id,)):  # whoever asked for them is gone
                ledger.release(held, ledger.reservation(row))
            writers.end(held, self._writer.id)

    @property
    def writer(self) -> str:
        """The id of the present writer."""
        return self._writer.id

    async def caller(self, key_id: str, secret_hash: str, scope: str) -> Key | Refusal:
        """Who asks, for the door: before the body is read. A right key is remembered for a second."""
        known = self._callers.get((key_id, secret_hash))
        if known is not None and known[0] > time.monotonic() and scope in known[1].scopes:
            return known[1]
        found: Key | Refusal = await self._ask(
            lambda held, writer: ledger.authenticate(held, writer, key_id, secret_hash, scope)
        )
        if isinstance(found, Key):
            if len(self._callers) >= CALLERS:
                self._callers.clear()
            self._callers[(key_id, secret_hash)] = (time.monotonic() + CALLER_SECONDS, found)
            self._customers[key_id] = found.customer
        else:
            self._callers.pop((key_id, secret_hash), None)
        return found

    async def reserve(
        self,
        key_id: str,
        secret_hash: str,
        idempotency: str | None,
        body: str,
        bound: Mapping[str, int],
        *,
        tariff: str = "standard",
        scope: str = "predict",
        request: str | None = None,
    ) -> Asked:
        """See `ledger.reserve`. A caller that is cancelled meanwhile leaves no reservation behind."""
        chosen = request or secrets.token_hex(12)
        work = self._reserving(key_id, secret_hash, idempotency, body, bound, tariff, scope, chosen)
        try:
            got: Asked = await self._submit(
                work, self._customers.get(key_id, ""), lambda result: self._owe(result, chosen)
            )
        except DatabaseFault as fault:
            self._owe(fault, chosen)
            raise
        if isinstance(got, Reserved):
            self._customers[key_id] = got.customer
        return got

    def _reserving(self, key_id: str, secret_hash: str, idempotency: str | None, body: str, bound: Mapping[str, int], tariff: str, scope: str, request: str) -> Work:  # fmt: skip
        return lambda held, writer: ledger.reserve(
            held, writer, self._box, key_id=key_id, secret_hash=secret_hash, idempotency=idempotency, body=body,
            bound=bound, request=request, tariff=tariff, scope=scope,
        )  # fmt: skip

    async def settle(
        self, reserved: Reserved, units: Mapping[str, int], answer: bytes | None, *, model: str, version: str
    ) -> Settled | Lost:
        """See `ledger.settle`. Send the answer only after `Settled`; on `Lost` or DatabaseFault the client tries again."""
        work: Work = lambda held, writer: ledger.settle(  # noqa: E731
            held, writer, self._box, reserved, units=units, answer=answer, model=model, version=version
        )
        try:
            paid: Settled | Lost = await self._submit(work, reserved.customer)
        except DatabaseFault:
            self._owed.append((reserved, reserved.request))
            raise
        return paid

    async def release(self, reserved: Reserved) -> None:
        """Nothing was answered: nothing is billed. Never fails; where the database is gone it is done when it is back."""
        try:
            await self._submit(lambda held, writer: ledger.release(held, reserved), reserved.customer)
        except DatabaseFault:
            self._owed.append((reserved, reserved.request))

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Other work in a transaction (the admin API: customers, keys, plans); it shares a commit with requests, so keep it short."""
        done: T = await self._ask(lambda held, writer: work(held))
        return done

    async def correct(self, customer: str, *, unit: str, amount: int, reason: str, month: str | None = None) -> None:
        """See `ledger.correct`."""
        await self._submit(
            lambda held, writer: ledger.correct(
                held, writer, customer, unit=unit, amount=amount, reason=reason, month=month
            ),
            customer,
        )

    def forget_callers(self) -> None:
        """Ask the database again at the next request of each key: after one was revoked in this process."""
        self._callers.clear()

    async def _ask(self, work: Work) -> Any:
        return await self._submit(work, "")

    def _owe(self, result: Any, request: str) -> None:
        """A reservation that nobody will settle, or that may have been made: it is given back."""
        if isinstance(result, Reserved):
            self._owed.append((result, request))
        elif isinstance(result, DatabaseFault):
            self._owed.append((None, request))

    def _submit(self, work: Work, order: str, unheard: Callable[[Any], None] | None = None) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        operation: _Operation[Any] = _Operation(work, order, future, loop, unheard)
        self._loop = self._loop or loop
        if self._quick is None or loop is not self._loop or self._stopping.is_set():
            self._put(operation)
        else:
            self._soon.append(operation)
            if self.few():
                self._perform_soon()
            elif len(self._soon) == 1:
                loop.call_soon(self._perform_soon)
        return future

    def _perform_soon(self) -> None:
        """In the event loop: whatever asked in this turn, in one transaction; the thread does what cannot be done at once."""
        waiting, self._soon = self._soon[:AT_ONCE], self._soon[AT_ONCE:]
        if self._soon and self._loop is not None:
            self._loop.call_soon(self._perform_soon)
        if not waiting:
            return
        done = None
        if self._turn.acquire(blocking=False):
            try:
                done = self._at_once(waiting)
            except Exception:  # undone as a whole: the thread tries again and tells what is wrong
                log.debug("the thread performs what the loop could not", exc_info=True)
            finally:
                self._turn.release()
        if done is None:
            for operation in waiting:
                self._queue.put(operation)
            return
        _tell(list(zip(waiting, done, strict=True)))

    def _at_once(self, waiting: list[_Operation[Any]]) -> list[Any]:
        assert self._quick is not None
        with writing(self._quick, self._writer) as held:
            results = [operation.work(held, self._writer) for operation in waiting]
        self._well(True)
        return results

    def submit(self, work: Work, order: str = "") -> Future[Any]:
        """For threads: `till.submit(lambda held, writer: ...).result()`."""
        future: Future[Any] = Future()
        self._put(_Operation(work, order, future, None))
        return future

    def _put(self, operation: _Operation[Any]) -> None:
        if self._stopping.is_set():
            raise _closed()
        self._queue.put(operation)

    def _open(self) -> None:
        self.database.off_the_path()
        with self.database.write() as held:
            ledger.reap(held)
            self._writer = open_writer(held)
        with writing(self.database, self._writer) as held:
            anchor(held, self._writer)

    # The thread of the ledger.

    def _serve(self) -> None:
        self.database.off_the_path()
        while True:
            waiting, ending = self._gather()
            with self._turn:
                if waiting:
                    self._perform(waiting)
                if ending:
                    return
                self._beat(idle=not waiting)

    def _gather(self) -> tuple[list[_Operation[Any]], bool]:
        """What waits, at most a group; blocks for a beat. True at the end, when nothing waits any more."""
        found: list[_Operation[Any]] = []
        with contextlib.suppress(queue.Empty):
            first = self._queue.get(timeout=writers.BEAT / SECOND)
            if first is None:
                return self._rest(), True
            found.append(first)
            while len(found) < GROUP:
                following = self._queue.get_nowait()
                if following is None:
                    return found + self._rest(), True
                found.append(following)
        return found, False

    def _rest(self) -> list[_Operation[Any]]:
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                following = self._queue.get_nowait()
                if following is not None:
                    found.append(following)
        return found

    def _perform(self, waiting: list[_Operation[Any]]) -> None:
        """All in one transaction; where one of them is at fault, each in its own."""
        if self.database.kind == "postgres":
            waiting.sort(key=lambda operation: operation.order)
        try:
            self._deliver(waiting, self._patiently(waiting))
        except Exception as error:
            alone = len(waiting) == 1 or (isinstance(error, DatabaseFault) and error.kind != "broken")
            if alone:
                self._deliver(waiting, [error] * len(waiting))
                return
            for operation in waiting:
                try:
                    self._deliver([operation], self._patiently([operation]))
                except Exception as single:
                    self._deliver([operation], [single])

    def _patiently(self, waiting: list[_Operation[Any]]) -> list[Any]:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with writing(self.database, self._writer) as held:
                    results = [operation.work(held, self._writer) for operation in waiting]
                self._well(True)
                return results
            except Ended:
                log.warning("the writer %s was reaped: opening another", self._writer.id)
                self._open()
            except DatabaseFault as fault:
                if fault.kind != "broken":
                    self._well(False, fault)
                if fault.kind not in ("gone", "locked") or time.monotonic() > until or self._stopping.is_set():
                    raise
                time.sleep(PAUSE)

    def _well(self, well: bool, fault: DatabaseFault | None = None) -> None:
        if well != self.healthy:
            log.warning("the accounts' database answers again") if well else log.error("%s", fault)
        self.healthy = well

    def _deliver(self, waiting: list[_Operation[Any]], results: list[Any]) -> None:
        """Results to their loops, one call for each loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Operation[Any], Any]]] = {}
        for operation, result in zip(waiting, results, strict=True):
            if operation.loop is None:
                _tell([(operation, result)])
            else:
                by_loop.setdefault(operation.loop, []).append((operation, result))
        for loop, pairs in by_loop.items():
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, pairs)

    def _beat(self, *, idle: bool) -> None:
        """Give back what is owed; when idle, renew the lease."""
        if not idle and not self._owed:
            return
        owed = [self._owed.popleft() for _ in range(len(self._owed))]
        try:
            with writing(self.database, self._writer) as held:
                for reserved, request in sorted(owed, key=lambda each: each[0].customer if each[0] else ""):
                    if reserved is None:
                        ledger.abandon_request(held, self._writer, request)
                    else:
                        ledger.abandon(held, self._writer, reserved)
            self._well(True)
        except Ended:
            self._owed.extend(owed)
            with contextlib.suppress(DatabaseFault):
                self._open()
        except DatabaseFault as fault:
            self._owed.extend(owed)
            self._well(False, fault)
            time.sleep(PAUSE)

    # The thread of the house.

    def _keep_house(self) -> None:
        forgot, left = 0.0, 0
        while not self._stopping.wait(writers.BEAT / SECOND):
            try:
                self._reap()
                if time.monotonic() - forgot > FORGET_EACH:
                    with self.database.write() as held:
                        forgotten = answers.forget(held)
                        writers.shorten(held)
                    forgot = time.monotonic() if forgotten < answers.AT_ONCE else forgot
                left = min(left, self.database.wal_bytes())
                if self.database.wal_bytes() - left > WAL:
                    left = 0 if self.database.checkpoint() else self.database.wal_bytes()
            except DatabaseFault as fault:
                log.debug("housekeeping waits: %s", fault)

    def _reap(self) -> None:
        with self.database.read() as held:
            found = writers.dead_writers(held)
        if found:
            with self.database.write() as held:
                ended = ledger.reap(held)
            log.warning("reaped %d writers and %d reservations", len(found), ended)


def _closed() -> DatabaseFault:
    return DatabaseFault("gone", "the till is closed: the service is stopping.")


def _tell(results: list[tuple[_Operation[Any], Any]]) -> None:
    """Results to who waits for them."""
    for operation, result in results:
        future = operation.done
        if future.done():
            if future.cancelled() and operation.unheard is not None:
                operation.unheard(result)
        elif isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
