"""What lies between a program and its Postgres and can fail there: TCP on loopback in, a Unix socket out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import make_url


class Proxy:
    """So many of the next commits reach the server, and the connection breaks before the answer.

    `commits_to_lose`: those that end a transaction; `single_to_lose`: statements that are a transaction by themselves.
    """

    def __init__(self, socket: Path) -> None:
        self.commits_to_lose = self.single_to_lose = 0
        self.lost_commits = self.lost_single = 0
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
        talk = _Talk()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(client, to_server, to_client, talk, asks=True))
                both.create_task(self._pass_on(server, to_client, to_client, talk, asks=False))
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
        talk: _Talk,
        *,
        asks: bool,
    ) -> None:
        while chunk := await reader.read(65536):
            if connection in self._swallowed:
                continue
            if asks:
                talk.hear(chunk)
                if talk.commits and self.commits_to_lose > 0:
                    self.commits_to_lose -= 1
                    talk.lost = "commit"
                elif talk.single and self.single_to_lose > 0:
                    self.single_to_lose -= 1
                    talk.lost = "single"
            elif talk.lost:
                # The server has answered, so the commit is made.
                self.lost_commits += talk.lost == "commit"
                self.lost_single += talk.lost == "single"
                raise _Over
            writer.write(chunk)
            await writer.drain()
        raise _Over


class _Talk:
    """What one connection is about, by what the program says on it. `lost`: what the answer to come was to, if lost."""

    def __init__(self) -> None:
        self.commits = self.single = self._inside = False
        self.lost = ""

    def hear(self, said: bytes) -> None:
        """The next message, or the messages of one statement: Parse, Bind or Query come first."""
        begins, self.commits = b"BEGIN" in said, b"COMMIT" in said
        ends = self.commits or b"ROLLBACK" in said
        self.single = said[:1] in (b"P", b"B", b"Q") and not (begins or ends or self._inside)
        self._inside = begins or (self._inside and not ends)


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
