"""Makes "subscribed" equal "wanted", channel by channel.

Rule 1: at most one command per channel is under way; what is wanted next waits for its answer. So the
        unsubscribe of a last leaver can never overtake the subscribe of a newcomer.
Rule 2: a channel is settled when it is wanted and the answer to its newest subscribe has come.
Rule 3: with the connection everything asked is forgotten; what is wanted stays wanted and is asked again.

    (nothing) ──want──▶ JOINING ──answer──▶ JOINED ──unwant──▶ LEAVING ──answer──▶ (nothing)
"""

from enum import Enum, auto

from csn_rt.wire.names import Channel


class _Asked(Enum):
    JOINING = auto()
    JOINED = auto()
    LEAVING = auto()


class Subscriptions:
    def __init__(self) -> None:
        self.wanted: set[Channel] = set()
        self._asked: dict[Channel, _Asked] = {}
        self._changed: dict[Channel, None] = {}
        """Channels to look at, in the order in which they were wanted."""

    def want(self, channel: Channel) -> None:
        self.wanted.add(channel)
        self._changed[channel] = None

    def unwant(self, channel: Channel) -> None:
        self.wanted.discard(channel)
        self._changed[channel] = None

    def is_settled(self, channel: Channel) -> bool:
        return channel in self.wanted and self._asked.get(channel) is _Asked.JOINED

    def due(self) -> tuple[list[Channel], list[Channel]]:
        """What to subscribe and what to unsubscribe now; both count as asked from here on."""
        joins, leaves = [], []
        for channel in self._changed:
            asked = self._asked.get(channel)
            if asked is None and channel in self.wanted:
                self._asked[channel] = _Asked.JOINING
                joins.append(channel)
            elif asked is _Asked.JOINED and channel not in self.wanted:
                self._asked[channel] = _Asked.LEAVING
                leaves.append(channel)
        self._changed.clear()
        return joins, leaves

    def joined(self, channel: Channel) -> bool:
        """The answer to a subscribe came; answers whether something is due because of it."""
        self._asked[channel] = _Asked.JOINED
        return self._look_again(channel, is_due=channel not in self.wanted)

    def left(self, channel: Channel) -> bool:
        """The answer to an unsubscribe came; answers whether something is due because of it."""
        self._asked.pop(channel, None)
        return self._look_again(channel, is_due=channel in self.wanted)

    def evicted(self, channel: Channel) -> None:
        """It was left without being asked for: it is due when all is asked again."""
        self._asked.pop(channel, None)

    def ask_again(self) -> list[Channel]:
        """Something was refused, and it is not known what: all that has no answer is due again.

        An answer that comes after all makes no harm: rule 1 is broken for that channel, but what is joined
        twice is joined, and what is left while it is wanted is told as left and joined again.
        """
        self._asked = {channel: asked for channel, asked in self._asked.items() if asked is _Asked.JOINED}
        waiting = [channel for channel in self.wanted if channel not in self._asked]
        self._changed.update(dict.fromkeys(waiting))
        return waiting

    def lost(self) -> None:
        """The connection is gone, and all that was asked with it."""
        self._asked.clear()
        self._changed = dict.fromkeys(self.wanted)

    def _look_again(self, channel: Channel, *, is_due: bool) -> bool:
        if is_due:
            self._changed[channel] = None
        return is_due
