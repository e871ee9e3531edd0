"""A process that uses the embedded server of a folder until its standard input ends; run by test_server.py.

It prints one line of JSON when the server answers, and one more whenever it becomes the owner.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from gateway.ledger.server import EmbeddedValkey


async def use(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    async with EmbeddedValkey(folder) as server:
        print(json.dumps({"owner": server.owner}), flush=True)
        watching = asyncio.create_task(server.watch())
        telling = asyncio.create_task(tell_of_ownership(server))
        await loop.run_in_executor(None, sys.stdin.read)
        for task in (watching, telling):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def tell_of_ownership(server: EmbeddedValkey) -> None:
    while not server.owner:  # noqa: ASYNC110 - it has no event: nobody but this test waits for it
        await asyncio.sleep(0.01)
    print(json.dumps({"owner": True}), flush=True)


if __name__ == "__main__":
    asyncio.run(use(Path(sys.argv[1])))
