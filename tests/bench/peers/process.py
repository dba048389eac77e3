"""A process that answers lines with lines."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

END_S = 10.0


class LineProcess:
    """What it writes to stderr goes to `log_path`, and is shown when it fails."""

    def __init__(
        self,
        arguments: Sequence[str],
        log_path: Path,
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Iterable[int] = (),
    ) -> None:
        self._arguments = arguments
        self._log_path = log_path
        self._directory = directory
        self._environment = environment
        self._pass_fds = tuple(pass_fds)

    async def __aenter__(self) -> Self:
        with self._log_path.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._arguments,
                cwd=self._directory,
                env=self._environment,
                pass_fds=self._pass_fds,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._process.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def line(self, within_s: float) -> str:
        try:
            async with asyncio.timeout(within_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            log = self._log_path.read_text(errors="replace")[-2_000:]
            raise RuntimeError(f"no answer from {' '.join(self._arguments[:3])}: {log}")
        return line.decode().strip()

    async def ask(self, line: str, within_s: float = 60.0) -> str:
        self._process.stdin.write(f"{line}\n".encode())
        return await self.line(within_s)
