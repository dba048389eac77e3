"""What the processes themselves complain of.

In their logs no error and no traceback is legitimate, whatever is done to them. That a server is away is a
warning there, and a refusal where somebody asks.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

_LEVELS: Final = frozenset({"error", "critical"})
_END: Final = 300


def complaints(files: Sequence[Path]) -> list[str]:
    """Each once, and how often."""
    told: Counter[str] = Counter()
    for file in files:
        told.update(complaints_in(file.read_text(errors="replace").splitlines()))
    return [f"{times} times {what}" for what, times in told.most_common()]


def complaints_in(lines: Iterable[str]) -> Iterator[str]:
    """Of events: their names and what they were about. Of what is no event, and begins with a traceback: its
    end, up to the next event."""
    raw: list[str] = []
    for line in lines:
        if (event := _event(line)) is None:
            if raw or "Traceback" in line:
                raw.append(line)
            continue
        if raw:
            yield "\n".join(raw)[-_END:]
            raw = []
        if event.get("level") in _LEVELS or "Traceback" in line:
            yield _told(event)
    if raw:
        yield "\n".join(raw)[-_END:]


def _event(line: str) -> dict[str, Any] | None:
    """None: not a line of ours, or one that a kill has cut off."""
    try:
        event = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return event if isinstance(event, dict) else None


def _told(event: dict[str, Any]) -> str:
    exception = str(event.get("exception", ""))[-_END:]
    rest = {key: event[key] for key in event.keys() - {"event", "exception", "level", "at", "logger"}}
    return f"{event.get('event')} {rest or ''}: {exception}"
