"""What is published, and what could not be.

Rule: of each channel the newest message that was dropped is kept, to be sent once sending works again. Who
      hears it sees what is missing; else nobody looks for it before the next message.
"""

from itertools import count
from typing import Final

import msgspec

MOST_UNTOLD: Final = 10_000
MOST_UNTOLD_BYTES: Final = 16 * 1024 * 1024

_numbers = count()


class Message(msgspec.Struct, frozen=True):
    name: bytes
    """Redis' name of the channel."""
    payload: bytes
    is_canary: bool = False
    """It is worth nothing later."""
    is_counted: bool = True
    """Not yet in the statistics, and to be."""
    refusals: int = 0
    """How often a server said that it belongs elsewhere."""
    number: int = msgspec.field(default_factory=_numbers.__next__)
    """Higher than that of every message before."""


class Untold:
    """The newest of the dropped messages of each channel; of too many channels the first ones go."""

    def __init__(self) -> None:
        self._messages: dict[bytes, Message] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def keep(self, message: Message) -> None:
        """It counts as dropped already."""
        if message.is_canary:
            return
        before = self._messages.pop(message.name, None)
        if before is not None:
            self._bytes -= len(before.payload)
            message = max(before, message, key=_number)
        self._messages[message.name] = msgspec.structs.replace(message, is_counted=False)
        self._bytes += len(message.payload)
        while len(self._messages) > MOST_UNTOLD or self._bytes > MOST_UNTOLD_BYTES:
            self._pop_first()

    def take(self, most: int) -> list[Message]:
        return [self._pop_first() for _ in range(min(most, len(self)))]

    def _pop_first(self) -> Message:
        message = self._messages.pop(next(iter(self._messages)))
        self._bytes -= len(message.payload)
        return message


def _number(message: Message) -> int:
    return message.number


def counted(messages: list[Message]) -> int:
    return sum(message.is_counted for message in messages)
