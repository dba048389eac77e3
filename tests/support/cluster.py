"""Nodes as processes of their own, to be killed on purpose."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.nodes import SECRET

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NodeProcess:
    """`csn-rt serve` on a port of its own; what it writes goes to `log_path`."""

    def __init__(self, database_url: str, redis_url: str, log_path: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self.log_path = log_path
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "CSN_AUTH": "dev",
            "CSN_SECRET": SECRET,
            "CSN_DRAIN_S": "1",
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "NodeProcess":  # noqa: PYI034  nobody subclasses it
        with self.log_path.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "csn_rt",
                "serve",
                "--port",
                str(self.port),
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        await self.wait_ready()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def wait_ready(self) -> None:
        assert self._process is not None
        async with httpx.AsyncClient() as http, asyncio.timeout(START_S):
            while True:
                assert self._process.returncode is None, self.log_path.read_text()
                try:
                    if (await http.get(f"{self.url}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        async with httpx.AsyncClient() as http:
            return await http.get(f"{self.url}{path}", params=params)

    async def kill(self) -> None:
        """As a machine that loses power."""
        await self._signal(signal.SIGKILL)

    async def terminate(self) -> int:
        """As an orderly deployment; answers the exit code."""
        return await self._signal(signal.SIGTERM)

    def stop_running(self) -> None:
        """As a process that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    async def _signal(self, which: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(which)
        async with asyncio.timeout(30):
            return await self._process.wait()
