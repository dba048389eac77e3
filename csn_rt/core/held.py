"""Commands that wait for their turn.

Rule 1: they leave in the order in which they came.
Rule 2: what they keep in memory is weighed. A command keeps the whole frame that it came in, which therefore
        weighs once, with the first command that is held of it.
"""

from typing import Final

from csn_rt.wire.protocol import Command

# JS sends its connect and all its subscribes in one message: 1 + 128, and as many again for the page's calls.
MAX_COMMANDS: Final = 257
# Two messages of the largest size that the shell accepts (256 KiB).
MAX_BYTES: Final = 524_288


class Held:
    __slots__ = ("_commands", "bytes")

    def __init__(self) -> None:
        self._commands: list[tuple[Command, int]] = []
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def is_too_much(self) -> bool:
        return len(self._commands) > MAX_COMMANDS or self.bytes > MAX_BYTES

    def put(self, command: Command, weight: int) -> None:
        self._commands.append((command, weight))
        self.bytes += weight

    def take(self) -> Command:
        """The next one; there must be one."""
        command, weight = self._commands.pop(0)
        self.bytes -= weight
        return command

    def put_back(self, command: Command) -> None:
        """It is not its turn yet after all. Only for a command without payload, which keeps no frame."""
        self._commands.insert(0, (command, 0))

    def clear(self) -> None:
        self._commands.clear()
        self.bytes = 0
