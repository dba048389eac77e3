"""What everybody must know when all is calm, and for how long is waited for it."""

import asyncio
from collections.abc import Sequence
from typing import Final

from tests.prove.checker import Ack, Ledger
from tests.prove.load import Load
from tests.prove.probe import Probe
from tests.prove.site import Site
from tests.prove.watcher import Watcher

ANSWER_S: Final = 20.0
SETTLE_S: Final = 10.0
COUNTS_S: Final = 5.0
_ASKED_S: Final = 0.5
"""In this time every probe has asked again."""


async def settle(load: Load, site: Site) -> None:
    """Calm: nothing new is begun, and what was begun is answered; then there is time to see what there is."""
    if not await load.calm(ANSWER_S):
        waiting = [chatter.name for chatter in load.all_chatters if not chatter.is_quiet]
        waiting += [player.name for player in load.players if player.is_reporting]
        load.ledger.find("lost", f"no answer for {', '.join(waiting)}", len(waiting))
    heads = [await site.head(chat.stream_id) for chat in load.chats]
    await load.wait_until(
        lambda: all(chat.is_up_to(head) for chat, head in zip(load.chats, heads, strict=True)), SETTLE_S
    )
    for chat, head in zip(load.chats, heads, strict=True):
        find_behind(chat.ledger, chat.watchers, head)
    await _settle_counts(load)
    await _settle_progress(load)


async def look_for_ghosts(load: Load, since: float) -> None:
    """Call it when those who vanished are gone for so long that nobody may count them any more."""
    await asyncio.sleep(_ASKED_S)
    find_ghosts(load.ledger, load.probes, len(load.players), since)


def find_behind(ledger: Ledger, watchers: Sequence[Watcher], head: int) -> None:
    for each in watchers:
        if not (each.is_complete and each.history.position >= head):
            where = "is not there, or reads what it missed," if not each.is_complete else "is"
            ledger.find("lost", f"{each.history.name} {where} at {each.history.position} of {head}")


def find_silence(ledger: Ledger, acks: Sequence[Ack]) -> None:
    """In a round in which nothing was acknowledged nothing could be lost."""
    if not acks:
        ledger.find("lost", "nothing was acknowledged")


def find_ghosts(ledger: Ledger, probes: Sequence[Probe], players: int, since: float) -> None:
    """In counts that a node gave after `since`, and called fresh."""
    for probe in probes:
        count = probe.count
        if count is None or count.at < since or count.stale or count.viewers is None:
            continue
        if count.viewers > players:
            ledger.find(
                "ghosts",
                f"node {probe.node.port} shows {count.viewers} of {players}",
                count.viewers - players,
            )


async def _settle_counts(load: Load) -> None:
    expected = len(load.players)
    if not await load.wait_until(lambda: all(player.is_playing for player in load.players), COUNTS_S):
        load.ledger.find("wrong counts", "not everybody plays")
    if await load.wait_until(lambda: load.are_counts(expected), COUNTS_S):
        return
    shown = {f"node {probe.node.port}": probe.count for probe in load.probes}
    shown |= {each.history.name: each.count for each in load.watchers}
    for name, count in shown.items():
        viewers = None if count is None else count.viewers
        if viewers is not None and viewers > expected:
            load.ledger.find("ghosts", f"{name} shows {viewers} of {expected}", viewers - expected)
        elif count is None or viewers != expected or count.stale:
            load.ledger.find("wrong counts", f"{name} shows {count}, not {expected}")


async def _settle_progress(load: Load) -> None:
    """What was acknowledged is there for whoever asks, and the other device was told."""
    players = [player for player in load.players if player.row is not None]
    await load.wait_until(lambda: all(player.is_told for player in players), SETTLE_S)
    for player in players:
        row = player.row
        if not player.is_told:
            told = player.device.rows.get(player.content_id)
            load.ledger.find("lost", f"{player.name}'s other device has {told}, and acknowledged was {row}")
        page = await player.insist("progress.get", content_ids=[player.content_id])
        stored = [(item["version"], item["position_ms"]) for item in page["items"]]
        if row is not None and stored != [(row.version, row.position_ms)]:
            load.ledger.find("lost", f"{player.name} reads {stored}, and acknowledged was {row}")
