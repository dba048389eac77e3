"""How fast one connection may go on.

Rule 1: commands are limited per second; those beyond the limit are refused one by one.
Rule 2: refusals are limited too: who is refused again and again does not listen.
Rule 3: so are the unsubscribe pushes that make a client subscribe again at once.
"""

from enum import Enum
from typing import Final

from csn_rt.core.limits import Rate, TokenBucket

# At once: a page that changes leaves 128 channels and enters 128, and goes on working. In the long run: ten
# times what a busy player sends (progress, chat, heartbeats); at 40 µs a command that is below 1 % of a core.
COMMANDS: Final = Rate(burst=300, per_s=100)
# A client that waits for its replies is never refused so often.
REFUSALS: Final = Rate(burst=200, per_s=10)
# SDKs obey such a push without back-off: 3,000 a second were measured. One is rare; five in 10 s do not help.
RESUBSCRIBES: Final = Rate(burst=5, per_s=0.5)


class Verdict(Enum):
    WITHIN = "within"
    REFUSED = "refused"
    FLOOD = "flood"


class Pace:
    __slots__ = ("_commands", "_refusals", "_resubscribes")

    def __init__(self, now: float) -> None:
        self._commands = TokenBucket(COMMANDS, now)
        self._refusals: TokenBucket | None = None
        self._resubscribes: TokenBucket | None = None

    def judge_command(self, now: float) -> Verdict:
        if self._commands.take(now):
            return Verdict.WITHIN
        if self._refusals is None:
            self._refusals = TokenBucket(REFUSALS, now)
        return Verdict.REFUSED if self._refusals.take(now) else Verdict.FLOOD

    def may_resubscribe(self, now: float) -> bool:
        if self._resubscribes is None:
            self._resubscribes = TokenBucket(RESUBSCRIBES, now)
        return self._resubscribes.take(now)
