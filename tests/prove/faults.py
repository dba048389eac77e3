"""No fault at all, and clients that are one themselves; what was promised about it."""

import asyncio
from collections import Counter
from typing import Final

from tests.prove.promises import promise_no_refusal, promise_sockets
from tests.prove.trial import Trial, Window

SLOW: Final = 3008
_GO_ON_S: Final = 6.0


class Calm:
    """No fault: what the others are compared with."""

    name = "none"

    def __init__(self, seconds: float = 8.0) -> None:
        self._seconds = seconds
        self._window: Window

    async def hurt(self, trial: Trial) -> None:
        with trial.hurting() as self._window:
            await asyncio.sleep(self._seconds)

    def judge(self, trial: Trial) -> None:
        promise_sockets(trial, self._window, "no fault")
        promise_no_refusal(trial, self._window, "no fault")


class SlowSockets:
    """Some watchers stop reading, while more is said than their sockets take."""

    name = "sockets that stop reading"
    touches = frozenset({"sockets"})

    def __init__(self, seconds: float = 19.0, padding: int = 400) -> None:
        self._seconds = seconds
        self._padding = padding
        self._window: Window
        self._paused: list[str] = []

    async def hurt(self, trial: Trial) -> None:
        load = trial.load
        with trial.hurting() as self._window:
            for chatter in load.chatters:
                chatter.padding = f" {'x' * self._padding}"
            paused = [each.socket for each in load.laggards if each.socket is not None]
            self._paused = [each.name for each in load.laggards if each.socket is not None]
            for socket in paused:
                socket.pause()
            # One after another: whoever reads too late finds its goodbye dropped, and too early has stayed.
            one_by_one_s = min(_GO_ON_S, self._seconds / 2)
            await asyncio.sleep(self._seconds - one_by_one_s)
            for socket in paused:
                await asyncio.sleep(one_by_one_s / len(paused))
                socket.go_on()
            await asyncio.sleep(1.0)  # to read the goodbyes
        for chatter in load.chatters:
            chatter.padding = ""

    def judge(self, trial: Trial) -> None:
        # One whose buffers take all that is said may stay; one that does not even read its goodbye in time is
        # dropped without it.
        codes = Counter(each.code for each in self._window.closings() if each.name in self._paused)
        stayed = len(self._paused) - codes.total()
        trial.promise(
            "sockets that stop reading are sent away",
            codes[SLOW] > 0 and codes.keys() <= {SLOW, None},
            f"of {len(self._paused)}: {dict(codes)}, {stayed} stayed",
        )
        trial.promise_within(
            "sockets that stop reading delay nobody else", self._window.longest_told_s(), 1.5
        )
        promise_sockets(trial, self._window, "sockets that stop reading: others'", but=self._paused)
