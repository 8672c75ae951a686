"""A small real service around the till, to be killed: a line with an idempotency key in, `paid UNITS` or `again` out."""

from __future__ import annotations

import asyncio
import random
import sys

from modelyard.accounts.database import open_database
from modelyard.accounts.keys import split
from modelyard.accounts.ledger import Replay, Reserved, Settled
from modelyard.accounts.till import Till
from modelyard.errors import ModelyardError
from tests.accounts.accounts_helpers import BOX


async def answer(till: Till, key: tuple[str, str], name: str) -> str:
    got = await till.reserve(*key, name, "b", {"request": 9})
    if isinstance(got, Replay):
        return f"paid {got.answer.decode()}"
    if not isinstance(got, Reserved):
        return "again"
    await asyncio.sleep(random.random() / 100)
    if random.random() < 0.05:  # the model failed
        await till.release(got)
        return "again"
    units = random.randint(1, 9)
    paid = await till.settle(got, {"request": units}, str(units).encode(), model="m", version="1")
    return f"paid {units}" if isinstance(paid, Settled) else "again"


async def main(address: str, key: str) -> None:
    with open_database(address) as database:
        till = Till(database, BOX)
        till.start()
        parts = split(key)
        assert parts

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                said = await answer(till, parts, (await reader.readline()).decode().strip())
            except ModelyardError as error:
                said = f"again {error}"
            writer.write(said.encode() + b"\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
