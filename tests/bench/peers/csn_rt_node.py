"""csn_rt as it is run: the application, our server, PostgreSQL and Valkey. Events come as from another node.

`broadcast` waits for the flush of one event before the next comes, so that a frame is a message, as with the
others. Then there is no pause between two flushes either: it is there to leave the loop to other work, and
would only add the timers of a second to the work of a quarter of it. `offer` says all at once, so that events
share frames as they do in a busy room.
"""

import asyncio
import os
import sys
from unittest.mock import patch

import structlog
import uvloop

from csn_rt.bus.base import Envelope
from csn_rt.core.ring import Ring
from csn_rt.core.topic import Topic
from csn_rt.edge import line
from csn_rt.wire import names
from tests.bench.peers.orders import WRITE_S, obey
from tests.support.nodes import RunningNode, running_node

LOOK_S = 0.005
"""How often the end of a flush is looked for, which takes 10 ms: a thousandth of the work."""
OFFERED_AT_ONCE = 10


class Speaker:
    """What another node says in the room."""

    def __init__(self, node: RunningNode, stream_id: str, data: bytes) -> None:
        self._topics = node.app.node.topics
        self._channel = names.stream_chat(stream_id)
        self._data = data

    async def broadcast(self, messages: int) -> None:
        with patch.object(line, "PAUSE_PER_PEER_S", 0.0):
            for _ in range(messages):
                self._say()
                await self._flushed()

    async def offer(self, messages: int) -> None:
        for n in range(messages):
            self._say()
            if n % OFFERED_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._flushed()

    def _say(self) -> None:
        memory = self._topic().memory
        self._topics.receive(
            Envelope("another node", self._channel, memory.epoch, memory.top + 1, [self._data])
        )

    async def _flushed(self) -> None:
        topic = self._topic()
        async with asyncio.timeout(WRITE_S):
            while topic.backlog or topic.is_flushing:
                await asyncio.sleep(LOOK_S)

    def _topic(self) -> Topic[Ring]:
        carried = self._topics.get(self._channel)
        assert carried is not None
        return carried.topic


async def main(data: str, stream_id: str) -> None:
    servers = os.environ["BENCH_DATABASE_URL"], os.environ["BENCH_REDIS_URL"]
    async with running_node(*servers) as node:
        speaker = Speaker(node, stream_id, data.encode())
        port = int(node.url.rpartition(":")[2])
        await obey(port, {"broadcast": speaker.broadcast, "offer": speaker.offer})


structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main(*sys.argv[1:]))
