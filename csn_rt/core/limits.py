"""How often something may happen.

Rule 1: a bucket begins full; in any length of time it grants `burst` plus that time times `per_s` at most.
Rule 2: time that goes backwards refills nothing and takes nothing away.
"""

from msgspec import Struct


class Rate(Struct, frozen=True):
    """A limit, shared by all buckets that keep it."""

    burst: int
    """How many at once."""
    per_s: float
    """How many in the long run."""


class TokenBucket:
    """The state of one limit for one party: two numbers."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Take one; False if there is none, and then nothing is taken."""
        if now > self._at:
            self._tokens = min(float(self._rate.burst), self._tokens + (now - self._at) * self._rate.per_s)
            self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
