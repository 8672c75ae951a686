"""A package as a running server: opens it, listens, drains on SIGTERM. Several worker processes are `supervisor`'s.

`python -m modelyard.serve.server PACKAGE --port 0` is what `yard serve` and the serve stage start. It prints nothing but log
lines on standard error; the line `listening` carries the address. It knows nothing about requests; `app` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import ModelyardError, PackageError, UserError
from modelyard.serve.limits import Limits
from modelyard.serve.lines import configure, say
from modelyard.serve.supervisor import BACKLOG, STOPS, end_with_parent, supervise

if TYPE_CHECKING:
    from modelyard.serve.deployment import DeploymentFile

KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than the 60 s of the usual balancers, so that they close first and not we."""
SWITCH = 0.0005
"""Seconds after which a thread that computes beside the event loop hands it the interpreter (Python's own: 0.005, a stall of many requests)."""
AGAIN = 2.0
"""Seconds after which another signal means "at once". A sooner one is the same wish by a second way: a terminal and systemd signal
the whole group, and the supervisor passes on what it got."""


def serve(
    *packages: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    force: bool = False,
    limits: Limits | None = None,
    state: Path | None = None,
    origins: Sequence[str] = (),
    docs: bool = True,
    certificate: Path | None = None,
    certificate_key: Path | None = None,
    keep_payloads: float | None = None,
    telemetry: str | None = None,
    alerts: Sequence[str] = (),
    alert_private: bool = False,
    listening: Callable[[str], None] | None = None,
) -> int:
    """Serve packages until SIGTERM or SIGINT; returns the exit status, 0 after a clean drain.

    With a `state` folder the packages are placed in it as the live versions of their models, and what is placed, tried and taken back
    there later (`modelyard.serve.deployment`) is followed; without packages, what stands there is served. Then every request needs a
    customer's key; the plans on offer are those of the builds that the packages lie in. `listening` is called with
    the address once connections are accepted (port 0 takes a free one). `force` serves a package that a gate refused. PackageError
    where one is broken, UserError where the port is taken; both before anything listens. `origins` are sites whose pages may ask from a
    browser; without `docs` the description needs the administrator's token; with a `certificate` (and its key) it speaks HTTPS.
    `keep_payloads`: days for which requests and answers are kept, encrypted, in the state folder (`payloads`); None: not at all.
    `telemetry`: the address of a collector that traces are sent to (`telemetry`). `alerts`: webhooks that are told what is wrong
    (`alerting`), in the own network only with `alert_private`.
    """
    tls = _tls(certificate, certificate_key)
    if workers < 1:
        raise UserError(f"workers: must be at least 1 (got {workers})")
    configure()
    with contextlib.suppress(
        OSError, ValueError
    ):  # a crash in a library's native code says where; no stderr, nothing to say it on
        faulthandler.enable()
    if state is None and not packages:
        raise UserError("no package to serve. Name one, or a state folder that holds some (--state).")
    if state is not None:
        _place(packages, state, force=force)
    if keep_payloads is not None:
        if state is None:
            raise UserError("payloads are kept in a state folder. Give one: --state DIR")
        from modelyard.serve.payloads import Payloads

        Payloads(state, days=keep_payloads)  # wrong days or a wrong key are told before anything listens
    if telemetry is not None:
        from modelyard.serve.telemetry import check

        check(telemetry)
    for url in alerts:
        from modelyard.serve.webhooks import check as check_webhook

        check_webhook(url)
    if alerts and state is None:
        raise UserError("alerts need a state folder. Give one: --state DIR")
    work = functools.partial(
        _application, packages, state=state, force=force, limits=limits, keep_payloads=keep_payloads, telemetry=telemetry,
        origins=origins, docs=docs, alerts=tuple(alerts), alert_private=alert_private,
    )  # fmt: skip
    if workers == 1:
        application = work()
        with _bound(host, port) as sock:
            return _serve_here(application, sock, listening=listening, tls=tls)
    _refuse_broken(packages, state=state, force=force)
    with _bound(host, port) as sock, _shared_meters():
        return supervise(
            lambda: _serve_here(work(), sock, tls=tls),
            sock,
            workers=workers,
            url=address(sock, tls=bool(tls)),
            listening=listening,
        )


def _place(packages: Sequence[Path], state: Path, *, force: bool) -> None:
    """The packages as live versions in the state folder."""
    from modelyard.serve.deployment import DeploymentFile
    from modelyard.serve.economics import keep

    file = DeploymentFile(state)
    for package in packages:
        file.place(package, now=time.time(), force=force)
    if not file.read().models:
        raise UserError(f"{state} holds no model yet. Name a package to serve.")
    _offer(packages, file)
    for package in packages:
        keep(package, state)


def _offer(packages: Sequence[Path], file: DeploymentFile) -> None:
    """The plans of the builds that the packages lie in; makes the accounts' tables where there are none."""
    from modelyard.accounts.database import open_database
    from modelyard.accounts.plans import add_plan, from_blueprint
    from modelyard.accounts.state import State

    folder = State(file.state)
    with open_database(folder.database, durability=folder.durability) as database, database.write() as held:
        for blueprint in (package.parent / "blueprint.resolved.yaml" for package in packages):
            if blueprint.is_file():
                from modelyard.blueprint import Blueprint

                business = Blueprint.load(blueprint).business
                for plan in business.plans:
                    add_plan(held, from_blueprint(plan, business.currency))
    folder.admin_token()


def _tls(certificate: Path | None, key: Path | None) -> dict[str, Any]:
    """uvicorn's options for HTTPS; UserError where the files cannot be used, before anything listens."""
    if certificate is None:
        if key is not None:
            raise UserError(
                "a key of a certificate was given, and no certificate. Give both: --certificate FILE --certificate-key FILE"
            )
        return {}
    import ssl

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"the certificate {certificate} cannot be used: {error.strerror or error}. It must be PEM, its key beside it or given by "
            "--certificate-key, without a password."
        ) from None
    return {"ssl_certfile": str(certificate)} | ({"ssl_keyfile": str(key)} if key is not None else {})


def _application(
    packages: Sequence[Path],
    *,
    state: Path | None,
    force: bool,
    limits: Limits | None,
    keep_payloads: float | None = None,
    telemetry: str | None = None,
    **how: Any,
) -> Any:
    """The application: of the packages themselves, or of what is placed in the state folder, the default first."""
    from modelyard.serve.app import create_app
    from modelyard.serve.deployment import DeploymentFile
    from modelyard.serve.opening import open_service

    def open_(folder: Path) -> Any:
        return open_service(folder, force=force or state is not None, limits=limits)

    if telemetry is not None:
        from modelyard.serve.telemetry import Telemetry

        how["telemetry"] = Telemetry(telemetry, service="modelyard")
    if state is None:
        return create_app(*(open_(package) for package in packages), **how)
    if keep_payloads is not None:
        from modelyard.serve.payloads import Payloads

        how["payloads"] = Payloads(state, days=keep_payloads)
    file = DeploymentFile(state)
    return create_app(*(open_(folder) for folder in file.live()), file=file, open_=open_, gate=_gate(state), **how)


def _gate(state: Path) -> Any:
    """The accounts of the state folder, for this process; nothing is opened before the till starts."""
    from modelyard.accounts.database import Database
    from modelyard.accounts.state import State
    from modelyard.accounts.till import Till
    from modelyard.serve.gate import Gate

    folder = State(state)
    return Gate(
        Till(Database(folder.database, durability=folder.durability), folder.box()), admin_token=folder.admin_token()
    )


def _refuse_broken(packages: Sequence[Path], *, state: Path | None, force: bool) -> None:
    """Open the packages once in a child, so that their error is told once. Not here: opened models start threads, and those do not
    survive the fork of a worker."""
    from modelyard.serve.deployment import DeploymentFile
    from modelyard.serve.opening import open_model

    folders = packages if state is None else DeploymentFile(state).live()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for folder in folders:
                open_model(folder, force=force or state is not None)
        except ModelyardError as error:
            os.write(writer, str(error).encode()[:4000])  # less than a pipe holds
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        message = pipe.read().decode(errors="replace")
    os.waitpid(pid, 0)
    if message:
        raise PackageError(message)


@contextlib.contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # The protocol must be named: asyncio switches Nagle's delay off only then, and answers took 45 ms without.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        cure = (
            "Name another with --port, or 0 for any free one." if isinstance(error, OSError) else "Allowed: 0 to 65535."
        )
        raise UserError(
            f"cannot listen on {host} port {port}: {getattr(error, 'strerror', None) or error}. {cure}"
        ) from None
    with sock:
        yield sock


def address(sock: socket.socket, *, tls: bool = False) -> str:
    """`http://127.0.0.1:8000` of a bound socket; a wildcard is shown as this machine."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http{'s' if tls else ''}://{host}:{port}"


def _serve_here(
    application: Any,
    sock: socket.socket,
    *,
    listening: Callable[[str], None] | None = None,
    tls: Mapping[str, Any] | None = None,
) -> int:
    """Run uvicorn in this process on a bound socket."""
    import uvicorn

    from modelyard.serve.guarding import guarded

    sys.setswitchinterval(SWITCH)
    url = address(sock, tls=bool(tls))

    class Server(uvicorn.Server):
        """uvicorn that drains on a signal and ends with status 0 (its own raises the signal again)."""

        drains_since = 0.0

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            loop = asyncio.get_running_loop()
            for number in STOPS:
                loop.add_signal_handler(number, self.drain)
            try:
                yield
            finally:
                for number in STOPS:
                    loop.remove_signal_handler(number)

        def drain(self) -> None:
            """First signal: stop being ready, linger, finish what is in flight. Another, `AGAIN` seconds later: leave at once."""
            if application.draining:
                if time.monotonic() - self.drains_since >= AGAIN:
                    self.should_exit = self.force_exit = True
                return
            application.draining, self.drains_since = True, time.monotonic()
            say("draining", in_flight=application.meters.in_flight)
            asyncio.get_running_loop().call_later(application.limits.linger, setattr, self, "should_exit", True)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            say("listening", url=url, pid=os.getpid())
            if listening:
                listening(url)

    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws="none",
        http=guarded(),
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(application.limits.drain_time),
        **dict(tls or {}),
    )
    Server(config).run(sockets=[sock])
    say("stopped", in_flight=application.meters.in_flight)
    return 0


@contextlib.contextmanager
def _shared_meters() -> Iterator[None]:
    """A folder in which the workers' counters are added up."""
    from modelyard.serve.meters import FOLDER

    with tempfile.TemporaryDirectory(prefix="modelyard-meters-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]


def main(arguments: list[str] | None = None) -> int:
    """`python -m modelyard.serve.server PACKAGE... [--state DIR] [--host H] [--port P] [--workers N] [--force]`."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m modelyard.serve.server")
    parser.add_argument("packages", type=Path, nargs="*")
    parser.add_argument("--state", type=Path)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--certificate-key", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--keep-payloads", type=float)
    parser.add_argument("--telemetry")
    parser.add_argument("--alert", action="append", default=[])
    parser.add_argument("--alert-private", action="store_true")
    parser.add_argument(
        "--with-parent", action="store_true", help="drain when standard input closes: the starter is gone"
    )
    given = parser.parse_args(arguments)
    if given.with_parent:
        threading.Thread(target=end_with_parent, args=(0,), daemon=True).start()
    try:
        return serve(
            *given.packages,
            host=given.host,
            port=given.port,
            workers=given.workers,
            force=given.force,
            state=given.state,
            certificate=given.certificate,
            certificate_key=given.certificate_key,
            keep_payloads=given.keep_payloads,
            telemetry=given.telemetry,
            alerts=given.alert,
            alert_private=given.alert_private,
        )
    except ModelyardError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
