"""The demo's own `csn-rt serve` and `csn-rt worker` processes.

Rule 1: a child ends with the demo, however the demo ends: the child's standard input is a pipe that the demo
        holds, and `--until-eof` makes it stop when that closes.
Rule 2: each child leads a session of its own, so that Ctrl-C at a terminal reaches the demo only, which stops
        everything in order.
Rule 3: what a child says goes to its own file in the data directory.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_STOP_TIMEOUT_S: Final = 15.0
_LOG_TAIL_BYTES: Final = 2000


class Child:
    def __init__(
        self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "csn_rt", *self._arguments, "--until-eof"),
                env={**os.environ, **self._environment},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def wait(self) -> int:
        """Return its exit status when it has ended."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to stop, and kill it if it does not in time. May be called twice."""
        if self._process is None or not self.is_running:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def last_words(self) -> str:
        """The end of what it said, for a message to the operator."""
        said = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return f"{self._log} says:\n{said}"
