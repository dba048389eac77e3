"""A TCP proxy before Redis or PostgreSQL, whose methods are faults."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

_CHUNK = 65536
_MAX_UNDER_WAY = 1000


class Proxy:
    """`async with Proxy(url) as proxy:`; `proxy.url` has the same user, password and database.

    It listens at a free port, or at the one that is given.
    """

    def __init__(self, url: str, port: int = 0) -> None:
        self.aim(url)
        self._port = port
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay_s = 0.0

    def aim(self, url: str) -> None:
        """New connections go there: a server that comes back may have another address."""
        self._parts = urlsplit(url)
        host = parse_qs(self._parts.query).get("host", [self._parts.hostname or "127.0.0.1"])[0]
        default_port = 5432 if self._parts.scheme.startswith("postgres") else 6379
        self._port_there = self._parts.port or default_port
        self._socket_there = Path(host) / f".s.PGSQL.{self._port_there}" if host.startswith("/") else None
        self._host_there = host

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._deaf()
        self.cut()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    @property
    def url(self) -> str:
        user, at, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self._port}", query="").geturl()

    @property
    def connections(self) -> int:
        return len(self._pipes)

    def cut(self) -> None:
        """Drop the present connections; new ones are welcome."""
        for pipe in self._pipes:
            pipe.cancel()

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[None]:
        """Refuse new connections and drop the present ones."""
        self._deaf()
        self.cut()
        try:
            yield
        finally:
            await self._listen()

    @asynccontextmanager
    async def stall(self) -> AsyncIterator[None]:
        """Accept everything and pass nothing on, as a dead network does. What was held goes on afterwards."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @asynccontextmanager
    async def slow(self, seconds: float) -> AsyncIterator[None]:
        """What comes, in either direction, arrives that much later; it does not become less."""
        self._delay_s = seconds
        try:
            yield
        finally:
            self._delay_s = 0.0

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def _deaf(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        try:
            await self._pipe(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # asyncio reports a cancelled connection handler as an error; here it is the point
        finally:
            self._pipes.discard(task)
            writer.transport.abort()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        if self._socket_there is not None:
            reader_there, writer_there = await asyncio.open_unix_connection(self._socket_there)
        else:
            reader_there, writer_there = await asyncio.open_connection(self._host_there, self._port_there)
        both = [
            asyncio.create_task(self._copy(reader, writer_there)),
            asyncio.create_task(self._copy(reader_there, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer_there.transport.abort()  # first: a cut may come in the middle of the end
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MAX_UNDER_WAY)
        arriving = asyncio.create_task(self._arrive(under_way, writer))
        loop = asyncio.get_running_loop()
        try:
            while not arriving.done():
                try:
                    data = await reader.read(_CHUNK)
                except OSError:
                    data = b""  # reset: as an end that came at once
                await under_way.put((loop.time() + self._delay_s, data))
                if not data:
                    await arriving
        finally:
            arriving.cancel()
            await asyncio.gather(arriving, return_exceptions=True)

    async def _arrive(
        self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while True:
                due, data = await under_way.get()
                if (wait_s := due - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                await self._flows.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()
