"""The cables between the nodes and their servers: proxies in a process of their own, so that the load's event
loop neither slows them down nor is slowed down by them.

    python -m tests.prove.network     requests on stdin, answers on stdout, one per line; ends with stdin

Faults have the names of the methods of `Proxy`; a cable has each at most once at a time.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Literal, Self

import msgspec
from msgspec import Struct

from tests.support.cluster import ROOT
from tests.support.proxy import Proxy

Fault = Literal["unreachable", "stall", "slow"]

_ANSWER_S = 10.0


class Request(Struct):
    do: Literal["lay", "aim", "begin", "end"]
    cable: str
    url: str = ""
    """Of the server, for `lay` and `aim`."""
    fault: Fault = "unreachable"
    seconds: float = 0.0
    """For `slow`."""


class Answer(Struct):
    url: str = ""
    """Of this end of the cable."""
    error: str = ""


class Network:
    """`async with Network() as network:`; the cables that it has laid are pulled out at the end."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.prove.network"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def lay(self, cable: str, url: str) -> str:
        """Answers the address of this end."""
        return (await self._ask(Request("lay", cable, url=url))).url

    async def aim(self, cable: str, url: str) -> None:
        await self._ask(Request("aim", cable, url=url))

    async def begin(self, cable: str, fault: Fault, seconds: float = 0.0) -> None:
        await self._ask(Request("begin", cable, fault=fault, seconds=seconds))

    async def end(self, cable: str, fault: Fault) -> None:
        await self._ask(Request("end", cable, fault=fault))

    async def _ask(self, request: Request) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn, asyncio.timeout(_ANSWER_S):
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            line = await self._process.stdout.readline()
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error:
            raise RuntimeError(f"{request}: {answer.error}")
        return answer


class _Cables:
    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._proxies: dict[str, Proxy] = {}
        self._faults: dict[tuple[str, Fault], AsyncExitStack] = {}

    async def answer(self, request: Request) -> Answer:
        match request.do:
            case "lay":
                proxy = await self._stack.enter_async_context(Proxy(request.url))
                self._proxies[request.cable] = proxy
                return Answer(proxy.url)
            case "aim":
                self._proxies[request.cable].aim(request.url)
            case "begin":
                await self._begin(request)
            case "end":
                await self._faults.pop((request.cable, request.fault)).aclose()
        return Answer()

    async def _begin(self, request: Request) -> None:
        proxy = self._proxies[request.cable]
        under_way: Mapping[Fault, object] = {
            "unreachable": proxy.unreachable,
            "stall": proxy.stall,
            "slow": lambda: proxy.slow(request.seconds),
        }
        fault = self._faults[request.cable, request.fault] = AsyncExitStack()
        await fault.enter_async_context(under_way[request.fault]())


async def serve() -> None:
    requests = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(requests), sys.stdin
    )
    async with AsyncExitStack() as stack:
        cables = _Cables(stack)
        while line := await requests.readline():
            try:
                answer = await cables.answer(msgspec.json.decode(line, type=Request))
            except Exception as exc:  # noqa: BLE001  whoever asked is to know
                answer = Answer(error=repr(exc))
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(serve())
