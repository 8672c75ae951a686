"""Several worker processes on one socket: forked, started again when they die, told to end, gone when their supervisor is killed.

It knows nothing about models or HTTP: a worker is a function that returns an exit status.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from modelyard.serve.lines import say, say_failure

BACKLOG = 512
"""Connections the kernel holds while none is accepted."""
RESTARTS = 5
"""A worker that dies within its first second so many times in a row is broken: the server ends instead of trying for ever."""
STOPS = (signal.SIGTERM, signal.SIGINT)
"""What ends a server: the process manager's word, and ctrl-C."""
TICK = 0.1
"""Seconds between the supervisor's looks for dead workers. A blocking wait would not see a signal that came just before it."""


def supervise(
    work: Callable[[], int],
    sock: socket.socket,
    *,
    workers: int,
    url: str,
    listening: Callable[[str], None] | None = None,
) -> int:
    """Fork `workers` processes that accept from one socket; start a dead one again; pass SIGTERM on and wait for all.

    Returns 0 after a clean end, 1 where workers die as soon as they start. `listening` is called with `url` once there are workers.
    """
    from modelyard.serve.meters import forget

    sock.listen(BACKLOG)
    children: dict[int, float] = {}
    stopping = False
    quick_deaths = 0
    # only the supervisor holds the writing end: when it is killed, its workers see the pipe close
    alive, hold = os.pipe()

    def fork() -> None:
        with _held_back():
            pid = -1 if stopping else os.fork()
            if pid > 0:
                children[pid] = time.monotonic()
            elif pid == 0:
                for number in STOPS:
                    signal.signal(number, signal.SIG_DFL)
        if pid == 0:
            _be_worker(work, alive, hold)
        if pid > 0 and stopping:  # the signal reached another thread, which holds none back: this child was not told
            stop(signal.SIGTERM, None)

    def stop(number: int, frame: Any) -> None:
        nonlocal stopping
        stopping = True
        sock.close()  # while it is open here, clients are queued that no worker will ever accept
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    before = {number: signal.signal(number, stop) for number in STOPS}
    try:
        for _ in range(workers):
            fork()
        if not stopping:
            say("listening", url=url, pid=os.getpid(), workers=workers)
            if listening:
                listening(url)
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                time.sleep(TICK)
                continue
            lived = time.monotonic() - children.pop(pid, 0.0)
            forget(pid)
            if stopping:
                continue
            say("worker_died", pid=pid, status=os.waitstatus_to_exitcode(status), after=round(lived, 1))
            quick_deaths = quick_deaths + 1 if lived < 1 else 0
            if quick_deaths >= RESTARTS:
                stop(signal.SIGTERM, None)
                return 1
            fork()
        return 0
    finally:
        os.close(alive)
        os.close(hold)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """SIGTERM and SIGINT wait outside: none comes between a fork and the note of the child, or before the child has its own handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_worker(work: Callable[[], int], alive: int, hold: int) -> NoReturn:
    """What a forked process does: work until it is told to end, or until the supervisor's pipe closes, whose ends these are."""
    status = 1
    try:
        os.close(hold)
        threading.Thread(target=end_with_parent, args=(alive,), daemon=True).start()
        status = work()
    except BaseException as error:
        say_failure(error, while_doing="starting a worker")
    finally:
        os._exit(status)  # never back into the parent's stack


def end_with_parent(pipe: int) -> None:
    """Wait until the pipe from the starter closes, then drain like after a signal."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(pipe, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
