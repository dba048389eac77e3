"""What was acknowledged, compared with what each client saw. No I/O and no clock: it is told as things come.

A *watcher* is one subscription history of a chat: a first subscription, then all that was pushed, recovered
after a reconnect, or read again from `chat.history` after `recovered: false`. A message is *acknowledged*
when its sender was answered `sent: true`.

    lost            an acknowledged message with a sequence above the offset at which a watcher first
                    subscribed, and that watcher has not seen it (live, recovered or read again) when the
                    round is judged. Or an offset that a watcher was not told though it was told a later one;
                    a message that nobody took back, and that is told as `chat.deleted`; a text that is not
                    the one that was sent. Or, by others' account: a watcher that is behind when everybody
                    had the time (settling.py), an acknowledged row of progress, watch session, message or
                    removal that is not there, or older than acknowledged (player.py, database.py); a round
                    in which nothing was acknowledged (trial.py).
    duplicated      an offset, or a message, that one watcher was told twice; one message at two offsets, or
                    twice in a page; two messages for one person's `client_id`.
    reordered       different messages at one offset, for two watchers or for a watcher and a sender; a
                    person's messages, sent one after another, with sequences that do not grow; a page that
                    is not newest first; a count or a row of progress that is pushed after a newer one.
    shown after     the text of a message, to a watcher that was told `chat.deleted` of it before; in one
    removal         reply together with its removal; or in a page that was asked for after the removal was
                    told to the one who asks, or acknowledged to the author.
    ghosts          viewers that are counted, and whose players are gone for 30 s (settling.py).
    wrong counts    a count that after settling is not the number of people who watch, or is stale
                    (settling.py).

An event that was redacted comes as the `chat.deleted` that took its content away, at the same offset: if its
author asked for that, the message counts as seen, for there is nothing more to see.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

from msgspec import Struct

from tests.prove.told import Data, Publication

Kind = Literal["lost", "duplicated", "reordered", "shown after removal", "ghosts", "wrong counts"]
KINDS: Final[tuple[Kind, ...]] = (
    "lost",
    "duplicated",
    "reordered",
    "shown after removal",
    "ghosts",
    "wrong counts",
)


class Finding(Struct, frozen=True):
    kind: Kind
    what: str
    times: int = 1


class Ack(Struct, frozen=True):
    user: str
    client_id: str
    id: str
    sequence: int
    text: str
    sent_at: float
    """When it was sent for the first time."""
    acked_at: float


class Gap(Struct):
    """Offsets that a watcher was not pushed, from the first to the last; what it has read again instead."""

    first: int
    last: int
    shown: set[str]
    is_told: bool = False
    """It is a finding already."""


class Ledger:
    """Of one chat."""

    def __init__(self, findings: list[Finding] | None = None) -> None:
        """`findings`: where they go; two chats may have one list."""
        self.findings: list[Finding] = [] if findings is None else findings
        self.acks: list[Ack] = []
        self.histories: list[History] = []
        self.deliveries = 0
        """Messages seen, over all watchers."""
        self.top = 0
        """The largest offset that anybody has seen."""
        self.epoch = ""
        self.seen_at: dict[int, float] = {}
        """By offset: when the last watcher saw it."""
        self.ids: dict[int, str] = {}
        """By offset: the message that the event is about."""
        self.retracting: set[str] = set()
        """Messages whose author has asked for their removal."""
        self.retracted_at: dict[str, float] = {}
        """When the removal was acknowledged."""
        self.texts: dict[str, str] = {}
        """By message: what its author has said, or whoever saw it first was told."""
        self._places: dict[str, int] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._last_of: dict[str, int] = {}

    def find(self, kind: Kind, what: str, times: int = 1) -> None:
        self.findings.append(Finding(kind, what, times))

    def open_history(self, name: str, *, is_timed: bool = True) -> "History":
        """`is_timed`: whether it counts for when the last watcher saw something."""
        history = History(self, name, is_timed=is_timed)
        self.histories.append(history)
        return history

    def acknowledged(self, ack: Ack) -> None:
        """Senders say one thing after another: call it in their order."""
        self.acks.append(ack)
        self._note_key(ack.user, ack.client_id, ack.id)
        self._note_text(f"{ack.user}, who said it,", ack.id, ack.text)
        if ack.sequence <= self._last_of.get(ack.user, 0):
            self.find(
                "reordered", f"{ack.user}: {ack.client_id} has sequence {ack.sequence}, not above the last"
            )
        self._last_of[ack.user] = ack.sequence

    def told(self, name: str, offset: int, event: Data) -> None:
        """Somebody was told this at this offset, or has read it."""
        if self.ids.setdefault(offset, event.id) != event.id:
            self.find("reordered", f"{name} was told {event.id} at {offset}, others {self.ids[offset]}")
        if event.type == "chat.message":
            self._note_text(name, event.id, event.text)
        elif event.type == "chat.deleted" and event.id not in self.retracting:
            self.find("lost", f"{name} was told at {offset} that {event.id} is deleted, and nobody did")

    def seen(self, name: str, offset: int, event: Data, now: float | None) -> None:
        """Some watcher knows what it was told; `now` is None where it does not count."""
        self.top = max(self.top, offset)
        if now is not None:
            self.seen_at[offset] = now
        if event.type == "chat.message":
            self._note_message(offset, event)

    def page(self, name: str, asked_at: float, items: Sequence[Data], gone: dict[str, float]) -> None:
        """Somebody read a page of chat; `gone`: what he was told is removed, and when."""
        for newer, older in pairwise(items):
            if newer.sequence <= older.sequence:
                kind: Kind = "duplicated" if newer.sequence == older.sequence else "reordered"
                self.find(kind, f"{name} read {older.sequence} after {newer.sequence}, newest first")
        for item in items:
            self.told(name, item.sequence, item)
            removed_at = min(gone.get(item.id, float("inf")), self.retracted_at.get(item.id, float("inf")))
            if removed_at < asked_at:
                self.find(
                    "shown after removal",
                    f"{name} read {item.id} {asked_at - removed_at:.3f} s after it was removed",
                )

    def replay(self, name: str, publications: Sequence[Publication]) -> None:
        """One reply with what was missed: the removals in it have taken the texts away."""
        removed = {each.data.id for each in publications if each.data.type == "chat.deleted"}
        for each in publications:
            if each.data.type == "chat.message" and each.data.id in removed:
                self.find("shown after removal", f"{name} got {each.data.id} in one reply with its removal")

    def judge(self, acks: Sequence[Ack]) -> None:
        """Everybody has had the time to see these."""
        for ack in acks:
            known = self.ids.get(ack.sequence)
            if known is not None and known != ack.id:
                self.find(
                    "reordered", f"{ack.id} was acknowledged at {ack.sequence}, where others saw {known}"
                )
            for history in self.histories:
                if not history.has(ack):
                    self.find("lost", f"{history.name} has not seen {ack.client_id} at {ack.sequence}")

    def _note_text(self, name: str, message_id: str, text: str) -> None:
        known = self.texts.setdefault(message_id, text)
        if known != text:
            self.find("lost", f"{name} knows {message_id} as {text!r}, and others as {known!r}")

    def _note_message(self, offset: int, event: Data) -> None:
        self.deliveries += 1
        if self._places.setdefault(event.id, offset) != offset:
            self.find("duplicated", f"{event.id} is at {self._places[event.id]} and at {offset}")
        if event.user is not None and event.client_id is not None:
            self._note_key(event.user.id, event.client_id, event.id)

    def _note_key(self, user: str, client_id: str, message_id: str) -> None:
        known = self._keys.setdefault((user, client_id), message_id)
        if known != message_id:
            self.find("duplicated", f"{client_id} of {user} is {known} and {message_id}")


class History:
    """One watcher. `position` is what it recovers from."""

    def __init__(self, ledger: Ledger, name: str, *, is_timed: bool) -> None:
        self.name = name
        self.is_timed = is_timed
        self.since: int | None = None
        self.position = 0
        self.gone: dict[str, float] = {}
        self._ledger = ledger
        self._gaps: list[Gap] = []

    def subscribed(self, epoch: str, offset: int) -> None:
        """For the first time."""
        self.since = self.position = offset
        self._ledger.epoch = self._ledger.epoch or epoch
        self._check_epoch(epoch)

    def recovered(self, epoch: str, publications: Sequence[Publication], now: float) -> None:
        self._check_epoch(epoch)
        self._ledger.replay(self.name, publications)
        for publication in publications:
            self.took(publication.offset, publication.data, now)

    def not_recovered(self, epoch: str, offset: int) -> Gap | None:
        """Answers what is to be read again."""
        self._check_epoch(epoch)
        if offset < self.position:
            self._ledger.find("lost", f"{self.name} was set back from {self.position} to {offset}")
        gap = self._leave_out(offset) if offset > self.position else None
        self.position = offset
        return gap

    def took(self, offset: int, event: Data, now: float) -> None:
        if offset <= self.position:
            self._ledger.find("duplicated", f"{self.name} was told {offset} again, being at {self.position}")
            return
        if offset > self.position + 1:
            missing = offset - self.position - 1
            self._ledger.find("lost", f"{self.name} was told {offset} after {self.position}", missing)
            self._leave_out(offset - 1).is_told = True
        self.position = offset
        self._ledger.told(self.name, offset, event)
        self._ledger.seen(self.name, offset, event, now if self.is_timed else None)
        if event.type == "chat.deleted":
            self.gone.setdefault(event.id, now)
        elif event.id in self.gone:
            self._ledger.find("shown after removal", f"{self.name} was told {event.id} at {offset} again")

    def reread(self, gap: Gap, asked_at: float, items: Sequence[Data], now: float) -> None:
        """A page of chat, read to fill the gap."""
        self._ledger.page(self.name, asked_at, items, self.gone)
        for item in items:
            if gap.first <= item.sequence <= gap.last and item.id not in gap.shown:
                gap.shown.add(item.id)
                self._ledger.seen(self.name, item.sequence, item, now if self.is_timed else None)

    def has(self, ack: Ack) -> bool:
        """Whether the watcher knows the message, or need not."""
        if self.since is None or ack.sequence <= self.since:
            return True
        for gap in self._gaps:
            if gap.first <= ack.sequence <= gap.last:
                return gap.is_told or ack.id in gap.shown or ack.id in self._ledger.retracting
        return ack.sequence <= self.position

    def _leave_out(self, last: int) -> Gap:
        gap = Gap(self.position + 1, last, set())
        self._gaps.append(gap)
        return gap

    def _check_epoch(self, epoch: str) -> None:
        if epoch != self._ledger.epoch:
            self._ledger.find(
                "lost", f"{self.name}: the numbering began anew, {self._ledger.epoch} is {epoch}"
            )
