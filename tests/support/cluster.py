"""Nodes and workers as processes of their own, to be killed on purpose."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.nodes import SECRET

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 20.0
END_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """`csn-rt <arguments>`; what it writes is added to `log_path`. It may be started again after its end."""

    def __init__(self, *arguments: str, log_path: Path, environment: dict[str, str]) -> None:
        self.log_path = log_path
        self._arguments = arguments
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "CSN_AUTH": "dev",
            "CSN_SECRET": SECRET,
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._process is not None and self.is_running:
            self._process.kill()
            await self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "csn_rt",
                *self._arguments,
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    async def kill(self) -> None:
        """As a machine that loses power."""
        self._signal(signal.SIGKILL)
        await self.wait_ended()

    async def terminate(self) -> int:
        """As an orderly deployment; answers the exit code."""
        self.ask_to_end()
        return await self.wait_ended()

    def ask_to_end(self) -> None:
        self._signal(signal.SIGTERM)

    async def wait_ended(self, wait_s: float = END_S) -> int:
        assert self._process is not None
        async with asyncio.timeout(wait_s):
            return await self._process.wait()

    def stop_running(self) -> None:
        """As a process that hangs."""
        self._signal(signal.SIGSTOP)

    def run_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, which: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(which)


class NodeProcess(Process):
    """`csn-rt serve` on a port of its own."""

    def __init__(self, database_url: str, redis_url: str, log_path: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        super().__init__(
            "serve",
            "--port",
            str(self.port),
            log_path=log_path,
            environment={**servers, "CSN_DRAIN_S": "1", **environment},
        )

    async def start(self) -> None:
        """Return when it serves."""
        await super().start()
        await self.wait_ready()

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


class WorkerProcess(Process):
    """`csn-rt worker`."""

    async def start(self) -> None:
        """Return when it works."""
        before = self.log_path.stat().st_size if self.log_path.exists() else 0
        await super().start()
        async with asyncio.timeout(START_S):
            while b"worker_started" not in self.log_path.read_bytes()[before:]:
                assert self.is_running, self.log_path.read_text()
                await asyncio.sleep(0.05)

    def __init__(self, database_url: str, redis_url: str, log_path: Path) -> None:
        super().__init__(
            "worker", log_path=log_path, environment={"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        )
