"""The channels that one session is in, or on its way into.

Rule 1: one place per channel, and a bound on places.
Rule 2: a place that is being taken belongs to one join, and only the answer to that one counts.
"""

from collections.abc import Iterator
from typing import Final

from csn_rt.core.effects import Join
from csn_rt.wire.codes import ErrorCode
from csn_rt.wire.protocol import FLAG_REJECT_UNRECOVERED, StreamPosition, Subscribe

MAX_CHANNELS: Final = 128
"""The ecosystem's number."""


class Places:
    __slots__ = ("_joins",)

    def __init__(self) -> None:
        self._joins: dict[str, Join | None] = {}
        """The join while it is under way, then None."""

    def __contains__(self, channel: str) -> bool:
        return channel in self._joins

    def __iter__(self) -> Iterator[str]:
        return iter(self._joins)

    def refusal(self, channel: str) -> ErrorCode | None:
        """Why there can be no place in this channel."""
        if channel in self._joins:
            return ErrorCode.ALREADY_SUBSCRIBED
        return ErrorCode.LIMIT_EXCEEDED if len(self._joins) >= MAX_CHANNELS else None

    def begin(self, command_id: int, request: Subscribe) -> Join:
        recover = StreamPosition(request.offset, request.epoch) if request.recover else None
        rejects_unrecovered = bool(request.flag & FLAG_REJECT_UNRECOVERED)
        join = self._joins[request.channel] = Join(command_id, request.channel, recover, rejects_unrecovered)
        return join

    def joining(self, channel: str) -> Join | None:
        """The join that is under way."""
        return self._joins.get(channel)

    def is_settled(self, channel: str) -> bool:
        """Whether there is a place, not only a join under way."""
        return channel in self._joins and self._joins[channel] is None

    def answered(self, command_id: int, channel: str) -> Join | None:
        """The join that this answer belongs to; None if it comes too late."""
        join = self._joins.get(channel)
        return join if join is not None and join.command_id == command_id else None

    def joined_by(self, command_id: int) -> str | None:
        """The channel that this command is joining."""
        joins = (join for join in self._joins.values() if join is not None)
        return next((join.channel for join in joins if join.command_id == command_id), None)

    def settle(self, channel: str) -> None:
        """The join has succeeded."""
        self._joins[channel] = None

    def discard(self, channel: str) -> bool:
        """Give up the place; answers whether there was one."""
        was_in = channel in self._joins
        self._joins.pop(channel, None)
        return was_in

    def clear(self) -> None:
        self._joins.clear()
