"""How many durable chat messages one node acknowledges: `python -m tests.bench.bench_chat`.

One stream; senders go through the feature itself, so that limits and sockets do not count. PostgreSQL is
durable.
"""

import asyncio
import time

import uvloop

from csn_rt.core.identity import Identity
from csn_rt.db.batch import Batcher
from csn_rt.db.migrate import migrate
from csn_rt.db.pool import open_database
from csn_rt.embedded.postgres import EmbeddedPostgres
from csn_rt.features.chat import posting
from csn_rt.features.chat.draft import Draft
from csn_rt.features.context import Context, new_id
from csn_rt.wire.roles import Role
from tests.bench.stage import heading, paced, report
from tests.support.league import make_stream
from tests.support.servers import temporary_directory

SENDERS = 200
DURATION_S = 10
PACED_PER_S = 500


async def main(database_url: str) -> None:
    await migrate(database_url)
    db = await open_database(database_url)
    stream_id = await make_stream(db)
    context = Context(db, lambda _published: None)
    batcher = Batcher(lambda drafts: posting.post(context, drafts))
    sender = Identity(user_id="sender", role=Role.MODERATOR, name="Sender")
    latencies: list[float] = []

    async def send(n: int) -> None:
        started = time.perf_counter()
        answer = await batcher.put(Draft(new_id(), stream_id, sender, f"message {n}", new_id()))
        assert answer.sent
        latencies.append(time.perf_counter() - started)

    async def keep_sending(until: float) -> None:
        while time.perf_counter() < until:
            await send(0)

    started = time.perf_counter()
    await asyncio.gather(*[keep_sending(started + DURATION_S) for _ in range(SENDERS)])
    rate = len(latencies) / (time.perf_counter() - started)
    print(f"{SENDERS} senders, as fast as they are answered: {rate:.0f} acknowledged/s")
    report("acknowledged", latencies)
    latencies.clear()
    async with asyncio.TaskGroup() as tasks:
        async for n in paced(PACED_PER_S * DURATION_S, PACED_PER_S):
            tasks.create_task(send(n))
    report(f"at {PACED_PER_S}/s, acknowledged", latencies)
    await db.close()


if __name__ == "__main__":
    heading("Durable chat sends, one stream, one node")
    with (
        temporary_directory() as directory,
        EmbeddedPostgres(directory) as postgres,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(main(postgres.url))
