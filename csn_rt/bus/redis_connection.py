"""Connections to one Redis; what an upgrade of the driver or a URL's query could change is pinned.

One connection, one job: the driver's pools and retries are not used, because a message that is sent again
later is worth less than knowing at once that it was lost.
"""

import math
import random
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection, Connection, parse_url

# As long as an answer may take. Redis answers in well under a millisecond; what takes longer is away.
ANSWER_S = 1.0
BACK_OFF_FIRST_S = 0.05
BACK_OFF_MOST_S = 1.0

_PINNED: dict[str, Any] = {
    "protocol": 2,  # plain arrays for messages and confirmations, from Redis 6.2 to 8 and Valkey
    "legacy_responses": True,
    "decode_responses": False,
    "driver_info": None,  # two commands less at every connect
    "health_check_interval": 0,
    "retry": None,
    "retry_on_timeout": False,
    "retry_on_error": [],
    "socket_timeout": None,  # every wait has its own time-out around it
    "socket_connect_timeout": ANSWER_S,
    "socket_keepalive": True,
}


def new_connection(url: str) -> AbstractConnection:
    """A connection that is not connected yet."""
    options: dict[str, Any] = {**parse_url(url), **_PINNED}
    connection_class = options.pop("connection_class", Connection)
    if not issubclass(connection_class, Connection):
        del options["socket_keepalive"]
    return cast("AbstractConnection", connection_class(**options))


async def connect(connection: AbstractConnection) -> None:
    """Connect if it is not connected yet; raises the driver's errors."""
    await connection.connect()  # type: ignore[no-untyped-call]


async def read_reply(connection: AbstractConnection) -> Any:
    """The next reply, however long it takes; raises the driver's errors."""
    return await connection.read_response(disable_decoding=True, timeout=math.inf)


def back_off_s(attempt: int) -> float:
    """Full jitter, so that nodes which lost Redis together do not come back together; never over a second."""
    return random.uniform(0, min(BACK_OFF_MOST_S, BACK_OFF_FIRST_S * 2.0 ** min(attempt, 10)))
