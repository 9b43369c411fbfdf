"""What lies between a program and its Postgres and can fail there: TCP on loopback in, a Unix socket out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import make_url

_COMMIT = b"COMMIT"


class Proxy:
    """`answers_to_lose`: so many of the next commits reach the server, and the connection breaks before the answer."""

    def __init__(self, socket: Path) -> None:
        self.answers_to_lose = 0
        self.lost_answers = 0
        self.port = 0
        self._socket = socket
        self._swallowed: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def swallow(self) -> int:
        """From now on nothing passes on the connections that are open, and nobody is told. How many there are."""
        self._swallowed |= self._open
        return len(self._open)

    async def end(self) -> None:
        """Cut whatever is still open."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """A new connection."""
        task = asyncio.create_task(self._serve(client, to_client))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        try:
            server, to_server = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            to_client.close()
            return
        self._open.add(to_client)
        told = asyncio.Event()  # set when the answer to come is to be lost
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(client, to_server, to_client, told, asks=True))
                both.create_task(self._pass_on(server, to_client, to_client, told, asks=False))
        except* (_Over, OSError):
            pass
        finally:
            self._open.discard(to_client)
            self._swallowed.discard(to_client)
            for writer in (to_server, to_client):
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: asyncio.StreamWriter,
        told: asyncio.Event,
        *,
        asks: bool,
    ) -> None:
        while chunk := await reader.read(65536):
            if connection in self._swallowed:
                continue
            if asks and _COMMIT in chunk and self.answers_to_lose > 0:
                self.answers_to_lose -= 1
                told.set()
            elif not asks and told.is_set():
                # The server has answered, so the commit is made.
                self.lost_answers += 1
                raise _Over
            writer.write(chunk)
            await writer.drain()
        raise _Over


class _Over(Exception):
    """One side has ended the connection, or we have."""


@asynccontextmanager
async def proxy(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy to the server of that URL, which has a Unix socket, and the URL that leads through it."""
    parsed = make_url(url)
    between = Proxy(Path(str(parsed.query["host"])) / ".s.PGSQL.5432")
    listening = await asyncio.start_server(between.accept, "127.0.0.1", 0)
    between.port = listening.sockets[0].getsockname()[1]
    through = parsed.set(host="127.0.0.1", port=between.port, query={})
    try:
        yield between, through.render_as_string(hide_password=False)
    finally:
        listening.close()
        await between.end()
