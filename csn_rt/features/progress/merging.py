"""The hot write path: everything that waits to be saved, of all people, is merged in one transaction.

Rule 1: the rows of a batch are locked first, in one order on every node; then they are judged.
Rule 2: of one person and content the reports are merged one after another, in the order in which they came.
Rule 3: who changed a row many times within a batch is told of the last change only.
Rule 4: what a batch tells goes out after the commit; then the reporters have their answers.
"""

from collections.abc import Iterable, Iterator, Sequence

from csn_rt.errors import BadRequest, NotFound
from csn_rt.features.context import Context
from csn_rt.features.progress import store
from csn_rt.features.progress.store import Heard, Merged
from csn_rt.wire import names
from csn_rt.wire.progress import ProgressChanged, ProgressReported, WatchProgress

Answer = ProgressReported | Exception


async def merge(ctx: Context, reports: Sequence[Heard], now: float) -> list[Answer]:
    """One answer for each report, in order."""
    merged: dict[int, Merged] = {}
    changed: dict[tuple[str, str], WatchProgress] = {}
    async with ctx.unit() as unit:
        await store.lock(unit.connection, list({each.key: None for each in reports}))
        for places in rounds(each.key for each in reports):
            results = await store.merge(unit.connection, [reports[place] for place in places], now)
            for place, result in zip(places, results, strict=True):
                merged[place] = result
                if result.is_changed and result.progress is not None:
                    changed[reports[place].key] = result.progress
        for (user_id, _), progress in changed.items():
            unit.publish(names.user(user_id), changed_event(progress))
    return [_answer(merged[place]) for place in range(len(reports))]


def rounds(keys: Iterable[tuple[str, str]]) -> Iterator[list[int]]:
    """Places of the keys, split so that no key is twice in a round and each key's places stay in order."""
    of_round: list[list[int]] = []
    times: dict[tuple[str, str], int] = {}
    for place, key in enumerate(keys):
        time = times[key] = times.get(key, -1) + 1
        if time == len(of_round):
            of_round.append([])
        of_round[time].append(place)
    yield from of_round


def changed_event(progress: WatchProgress) -> ProgressChanged:
    return ProgressChanged(
        content_id=progress.content_id,
        position_ms=progress.position_ms,
        duration_ms=progress.duration_ms,
        started=progress.started,
        completed=progress.completed,
        removed=progress.removed,
        version=progress.version,
        updated_at=progress.updated_at,
        last_played_at=progress.last_played_at,
        playback_session_id=progress.playback_session_id,
    )


def _answer(merged: Merged) -> Answer:
    match merged.verdict:
        case "unknown":
            return NotFound("no such content")
        case "live":
            return BadRequest("content_id: a live stream has no progress")
        case "beyond_end":
            return BadRequest("position_ms: beyond the end")
        case outcome:
            return ProgressReported(outcome=outcome, progress=merged.progress)
