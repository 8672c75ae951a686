"""Alerts to the addresses that the operator named, as signed CloudEvents.

Only those addresses, never one from a request. The name is resolved once and the connection goes to the address that was checked (so a name
that changes its mind reaches nothing inside); private, loopback and link-local ones are refused unless the operator allows them. Redirects
are not followed. A body is signed: `Modelyard-Signature: t=SECONDS,v1=HMAC-SHA256(secret, "SECONDS." + body)`.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from modelyard.errors import UserError
from modelyard.store import to_json

TYPE = "modelyard.alert.v1"
TIMEOUT = 10.0
"""Seconds for each of: connecting, an answer."""
TRIES = 5
FIRST_PAUSE = 1.0
"""Seconds before the second try; doubled each time."""


def check(url: str) -> None:
    """UserError where it is no address of a webhook."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"no webhook at {url[:200]!r}. Write an address such as https://hooks.example.com/modelyard")
    if parts.username or parts.password:
        raise UserError("a webhook's address holds no password: alerts are signed instead (see docs/service.md)")


def cloud_event(event: Mapping[str, Any], *, id: str, now: float) -> bytes:
    """A CloudEvents 1.0 body."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    told = {
        "specversion": "1.0", "id": id, "source": "/modelyard/alerts", "type": TYPE, "subject": f"{event['kind']} {event['subject']}",
        "time": when, "datacontenttype": "application/json", "data": dict(event),
    }  # fmt: skip
    return to_json(told, indent=None).encode()


def signature(secret: str, body: bytes, now: float) -> str:
    """The header's value."""
    stamp = str(int(now))
    return f"t={stamp},v1={hmac.new(secret.encode(), stamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def deliver(
    url: str,
    body: bytes,
    *,
    secret: str,
    private: bool,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], Any] = time.sleep,
) -> str:
    """Send; the reason why not, or nothing where it arrived (2xx). Tried again where it may help; blocks."""  # fmt: skip
    reason = ""
    for number in range(TRIES):
        if number:
            pause(FIRST_PAUSE * 2 ** (number - 1))
        try:
            status = _post(url, body, signature(secret, body, clock()), private=private)
        except _Refused as error:
            return str(error)
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}"
            continue
        if 200 <= status < 300:
            return ""
        reason = f"status {status}"
        if 300 <= status < 500 and status not in (408, 425, 429):
            return reason
    return reason


class _Refused(Exception):
    """An address that alerts are not sent to."""


def _post(url: str, body: bytes, signed: str, *, private: bool) -> int:
    parts = urlsplit(url)
    host, tls = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    sock = socket.create_connection((_address(host, port, private=private), port), timeout=TIMEOUT)
    try:
        if tls:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        connection.sock = sock
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": "application/cloudevents+json", "Modelyard-Signature": signed, "Connection": "close"}
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        sock.close()


def _address(host: str, port: int, *, private: bool) -> str:
    """An address of the host that alerts may be sent to."""
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        known = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(known, "ipv4_mapped", None) or known
        if private or (mapped.is_global and not mapped.is_multicast):
            return address
    raise _Refused(f"{host} is an address of the own network ({', '.join(found[:3])}); allow it with --alert-private")
