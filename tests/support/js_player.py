"""The official JavaScript SDK in a node process of its own; see tests/clients/js/player.mjs."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.fans import until

DIRECTORY = Path(__file__).resolve().parent.parent / "clients" / "js"
WAIT_S = 15.0


def install_sdk() -> None:
    """The packages of package.json, once."""
    if not (DIRECTORY / "node_modules" / "centrifuge").is_dir():
        npm = shutil.which("npm")
        assert npm is not None
        subprocess.run(
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"],
            cwd=DIRECTORY,
            check=True,
            timeout=170,
            capture_output=True,
        )


class JsPlayer:
    def __init__(self, process: asyncio.subprocess.Process, *, is_protobuf: bool) -> None:
        self.events: list[dict[str, Any]] = []
        self._is_protobuf = is_protobuf
        self._process = process
        self._reader = asyncio.create_task(self._read())
        self._calls = 0

    @classmethod
    async def start(cls, *, is_protobuf: bool = False) -> "JsPlayer":
        node = shutil.which("node")
        assert node is not None
        process = await asyncio.create_subprocess_exec(
            node,
            "player.mjs",
            cwd=DIRECTORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**22,
        )
        return cls(process, is_protobuf=is_protobuf)

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(WAIT_S):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            await self._reader

    def do(self, action: str, **facts: Any) -> None:
        assert self._process.stdin is not None
        if action == "connect":
            facts["isProtobuf"] = self._is_protobuf
        self._process.stdin.write(json.dumps({"do": action, **facts}).encode() + b"\n")

    def seen(self, event: str, **facts: Any) -> list[dict[str, Any]]:
        """Every event of that kind so far that has these facts."""
        return [
            each
            for each in self.events
            if each["event"] == event and all(each.get(key) == value for key, value in facts.items())
        ]

    async def sees(self, event: str, count: int = 1, **facts: Any) -> dict[str, Any]:
        """Wait for the count-th such event."""
        await until(lambda: len(self.seen(event, **facts)) >= count)
        return self.seen(event, **facts)[count - 1]

    async def connect(self, ws_url: str, token: str = "", *, refreshes: bool = False) -> dict[str, Any]:
        self.do("connect", url=f"{ws_url}/connection/websocket", token=token, refreshes=refreshes)
        return await self.sees("connected")

    async def enter(self, channel: str) -> dict[str, Any]:
        self.do("subscribe", channel=channel)
        return await self.sees("subscribed", channel=channel)

    async def call(self, method: str, **data: Any) -> dict[str, Any]:
        """The reply: `data` or `error`."""
        self._calls += 1
        self.do("rpc", id=self._calls, method=method, data=data)
        return await self.sees("reply", id=self._calls)

    def texts(self, channel: str) -> list[str]:
        return [
            each["data"]["text"]
            for each in self.seen("publication", channel=channel)
            if each["data"]["type"] == "chat.message"
        ]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.events.append(json.loads(line))
