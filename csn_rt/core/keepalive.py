"""Pings and pongs of one connection.

Rule 1: pings keep a fixed schedule whatever else is sent: most SDKs re-arm their "no ping" timer by it alone.
Rule 2: a ping that is not answered in time means that nobody is there. A pong nobody asked for is harmless.
Rule 3: after a long stall the schedule goes on at its own beat; missed pings are not made up for.
"""

from math import inf
from typing import Final

# Each SDK drops the connection `PING_S` + 10 s after the last ping; these are the ecosystem's numbers.
PING_S: Final = 25.0
PONG_S: Final = 8.0


class Keepalive:
    """`first_ping_at` spreads the pings of many connections that began together."""

    __slots__ = ("_ping_at", "_pong_by")

    def __init__(self, first_ping_at: float) -> None:
        self._ping_at = first_ping_at
        self._pong_by = inf

    @property
    def next_due(self) -> float:
        return min(self._ping_at, self._pong_by)

    def pong(self) -> None:
        self._pong_by = inf

    def is_lost(self, now: float) -> bool:
        """Whether a ping was not answered in time."""
        return now >= self._pong_by

    def take_ping(self, now: float) -> bool:
        """Whether a ping must be sent now; it is then taken as sent."""
        if now < self._ping_at:
            return False
        self._ping_at += PING_S * ((now - self._ping_at) // PING_S + 1)
        self._pong_by = now + PONG_S
        return True
