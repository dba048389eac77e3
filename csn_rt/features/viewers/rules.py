"""When a watch session counts.

Rule 1: a playing session counts for 25 s after it was heard: two heartbeats may be lost, and a socket that
        breaks has time to come back.
Rule 2: a paused session counts for 60 s after the pause, as long as it is heard.
Rule 3: a session that never played does not count.
"""

import math
from typing import Final

LEASE_S: Final = 25.0
PAUSE_S: Final = 60.0
LOST_S: Final = 45.0
"""A session that was silent for so long has ended, at its last heartbeat."""

LEASE_MS: Final = int(LEASE_S * 1000)
LOST_MS: Final = int(LOST_S * 1000)

NEVER_PLAYED: Final = -math.inf
"""As `paused_since`: the session is paused from its beginning."""


def lease_until(heard_at: float, paused_since: float | None) -> float:
    """The time until which a session counts; None: it plays."""
    until = heard_at + LEASE_S
    return until if paused_since is None else min(until, paused_since + PAUSE_S)


def paused_since(before: float | None, now: float, *, is_playing: bool) -> float | None:
    """What a heartbeat makes of `paused_since`: the beginning of a pause stays, play ends it."""
    if is_playing:
        return None
    return now if before is None else before
