"""The whole demo: servers, sample data, nodes, a worker and a crowd, up in order and down in reverse.

Rule 1: a second start on the same data directory finds its data again.
Rule 2: however it ends, it leaves no process behind; by a signal it ends cleanly.
Rule 3: it uses no server but its own, whatever the environment says: sample data has no place in a real one.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from csn_rt.demo.bots import Crowd, Plan
from csn_rt.demo.children import Child
from csn_rt.demo.connection import Failed, Lost, connected
from csn_rt.demo.seed import Programme, seed
from csn_rt.demo.servers import own_servers
from csn_rt.demo.summary import Running, describe
from csn_rt.edge.auth import issue_dev_token
from csn_rt.settings import Settings
from csn_rt.wire.roles import Role

HOST: Final = "127.0.0.1"
TOKEN_DAYS: Final = 7
_READY_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.05
_ASK_TIMEOUT_S: Final = 2.0
_ALREADY_ON: Final = 409

_PEOPLE: Final = {
    "FAN": ("demo-fan", "Fran", Role.USER),
    "MOD": ("demo-moderator", "Moe", Role.MODERATOR),
    "ADMIN": ("demo-admin", "Ada", Role.ADMIN),
}

Say = Callable[[str], None]


class DemoFailed(Exception):
    """The demo cannot go on; the message is for whoever started it."""


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    settings: Settings
    data_dir: Path
    port: int
    """Of the first node; the others have the following ones."""
    nodes: int
    bots: int

    @property
    def ports(self) -> range:
        return range(self.port, self.port + self.nodes)


async def run(demo: Demo, say: Say) -> None:
    """Return after SIGINT or SIGTERM, when all is down; raises DemoFailed or EmbeddedFailed."""
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(_run(demo, say))
    is_stopping = False

    def stop() -> None:
        nonlocal is_stopping
        if not is_stopping:
            is_stopping = True
            say("Stopping.")
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        if not is_stopping:
            raise


async def _run(demo: Demo, say: Say) -> None:
    _check_ports(demo.ports)
    # Rule 3: the addresses are left out, so that every server is one of our own.
    settings = msgspec.structs.replace(demo.settings, database_url="", redis_url="")
    async with own_servers(settings, demo.data_dir) as settings, AsyncExitStack() as stack:
        programme = await _seed(settings.database_url)
        nodes, worker = _children(demo, settings)
        stack.push_async_callback(_stop_all, [*nodes, worker])
        for node in nodes:
            await node.start()
        await asyncio.gather(*(_wait_ready(node, port) for node, port in zip(nodes, demo.ports, strict=True)))
        await worker.start()

        sockets = [f"ws://{HOST}:{port}/connection/websocket" for port in demo.ports]
        if programme.stream_id and not programme.is_on:
            await _start_stream(sockets[0], _token(settings.secret, *_PEOPLE["ADMIN"]), programme.stream_id)
        plan = Plan(
            sockets=sockets,
            programme=programme,
            token=lambda user_id, name: _token(settings.secret, user_id, name, Role.USER),
        )
        crowd = Crowd(plan, demo.bots)
        chatter = asyncio.create_task(crowd.run())
        stack.push_async_callback(_send_home, crowd, chatter)
        say(describe(_running(demo, programme, settings.secret)))
        await _watch(nodes, worker, say)


def _children(demo: Demo, settings: Settings) -> tuple[list[Child], Child]:
    """The nodes in the order of their ports, and the worker."""
    environment = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "CSN_SECRET": settings.secret,
        "CSN_AUTH": "dev",
        "CSN_DRAIN_S": str(settings.drain_s),
        "CSN_COMPRESSION": str(int(settings.compression)),
        "CSN_LOG_LEVEL": settings.log_level,
        "CSN_LOG_FORMAT": settings.log_format,
    }
    nodes = [
        Child(
            f"node {number}",
            ["serve", "--host", HOST, "--port", str(port)],
            environment=environment,
            log=demo.data_dir / f"node-{port}.log",
        )
        for number, port in enumerate(demo.ports, 1)
    ]
    return nodes, Child("the worker", ["worker"], environment=environment, log=demo.data_dir / "worker.log")


def _running(demo: Demo, programme: Programme, secret: str) -> Running:
    return Running(
        nodes=[f"http://{HOST}:{port}" for port in demo.ports],
        data_dir=demo.data_dir,
        bots=demo.bots,
        programme=programme,
        tokens={name: _token(secret, *person) for name, person in _PEOPLE.items()},
        token_days=TOKEN_DAYS,
    )


def _token(secret: str, user_id: str, name: str, role: Role) -> str:
    return issue_dev_token(secret, user_id, role=role, name=name, ttl_s=TOKEN_DAYS * 24 * 3600)


def _check_ports(ports: range) -> None:
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as exc:
                raise DemoFailed(
                    f"Port {port} cannot be used: {exc.strerror}. Choose another one with --port."
                ) from exc


async def _seed(url: str) -> Programme:
    connection = await asyncpg.connect(url)
    try:
        return await seed(connection)
    finally:
        await connection.close()


async def _wait_ready(node: Child, port: int) -> None:
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            while not await _is_ready(port):
                if not node.is_running:
                    raise DemoFailed(f"{node.name} ended while starting. {node.last_words()}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise DemoFailed(f"{node.name} was not ready in time. {node.last_words()}") from None


async def _is_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(_ASK_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"GET /readyz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _start_stream(socket_url: str, admin_token: str, stream_id: str) -> None:
    try:
        async with connected(socket_url, admin_token) as admin:
            await admin.rpc("stream.start", stream_id=stream_id)
    except Lost as exc:
        raise DemoFailed("node 1 does not answer.") from exc
    except Failed as exc:
        if exc.code != _ALREADY_ON:
            raise DemoFailed(f"The stream cannot be started: {exc}.") from exc


async def _watch(nodes: list[Child], worker: Child, say: Say) -> None:
    """Tell of every child that ends; raises DemoFailed when no node is left."""
    endings = {asyncio.create_task(child.wait()): child for child in (*nodes, worker)}
    try:
        while any(node.is_running for node in nodes):
            done, _ = await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
            for ending in done:
                child = endings.pop(ending)
                say(f"{child.name} ended with status {ending.result()}. {child.last_words()}")
        raise DemoFailed("No node is left.")
    finally:
        for ending in endings:
            ending.cancel()


async def _send_home(crowd: Crowd, chatter: "asyncio.Task[None]") -> None:
    crowd.send_home()
    await chatter


async def _stop_all(children: list[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))
