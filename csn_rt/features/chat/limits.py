"""How fast one person may chat, as far as one node knows.

Rule 1: in each stream a bucket of 5 that refills by 1 a second, and at most 20 granted in any 30 s.
        Moderators and above have no bucket and 100 in 30 s.
Rule 2: the same text by the same person within 30 s of its grant is a duplicate, whatever the stream.
        A refusal does not make the time longer.
Rule 3: a `client_id` that was granted within 30 s is a retry: it takes nothing from the bucket and is no
        duplicate.
Rule 4: a refused message may be a retry as well, of what another node has accepted or this one has forgotten;
        the database knows. It is asked about retries, known or possible, 100 times in 30 s for each person
        and stream: no honest client comes near that, and a flood of them ends here.
Rule 5: who was quiet for 30 s is forgotten, which changes nothing. Memory is bounded: what was used longest
        ago goes first, and then somebody may say a little more than he should.

Times are whole milliseconds of a clock that never goes back, so that what `retry_after_ms` promises is exact.
"""

from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

from msgspec import Struct

from csn_rt.features.chat.draft import Draft
from csn_rt.wire.chat import Drop
from csn_rt.wire.roles import Role

BUCKET: Final = 5
REFILL_MS: Final = 1_000
WINDOW_MS: Final = 30_000
PER_WINDOW: Final = 20
PER_WINDOW_MODERATOR: Final = 100
LOOKS_PER_WINDOW: Final = 100

# A node acknowledges about 5,000 messages a second, so half a minute's grants are about 150,000.
MAX_REMEMBERED: Final = 150_000
MAX_SENDERS: Final = 50_000

Key = TypeVar("Key")


class Recent(Generic[Key]):
    """Keys and when they were granted, oldest first, for as long as the window."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._at: OrderedDict[Key, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._at)

    def left_ms(self, key: Key, now_ms: int) -> int:
        """How long the key is still remembered; 0 if it is not."""
        at = self._at.get(key)
        return 0 if at is None else max(0, at + WINDOW_MS - now_ms)

    def add(self, key: Key, now_ms: int) -> None:
        self._at[key] = now_ms
        self._at.move_to_end(key)
        while len(self._at) > self._max_keys or _is_over(next(iter(self._at.values())), now_ms):
            self._at.popitem(last=False)

    def discard(self, key: Key) -> None:
        self._at.pop(key, None)


class _Pace:
    """What one person was granted in one stream."""

    __slots__ = ("full_at_ms", "granted", "looks", "used_ms")

    def __init__(self) -> None:
        self.full_at_ms = 0
        """When the bucket is full again: a second more for each token that is missing."""
        self.granted: deque[int] = deque()
        self.looks: deque[int] = deque()
        """When the database was asked whether something is a retry."""
        self.used_ms = 0

    def wait_ms(self, now_ms: int, *, is_moderator: bool) -> int:
        """How long until one more is granted; 0: now."""
        if is_moderator:
            return _wait_of(self.granted, PER_WINDOW_MODERATOR, now_ms)
        bucket_wait_ms = self.full_at_ms - now_ms - (BUCKET - 1) * REFILL_MS
        return max(0, bucket_wait_ms, _wait_of(self.granted, PER_WINDOW, now_ms))

    def grant(self, now_ms: int) -> None:
        self.granted.append(now_ms)
        full_at_ms = max(self.full_at_ms, now_ms) + REFILL_MS
        self.full_at_ms = min(full_at_ms, now_ms + BUCKET * REFILL_MS)


class Verdict(Struct, frozen=True):
    drop: Drop | None
    """Why it may not be said anew; None: it may, or it was."""
    is_final: bool = False
    """Whether that is the answer; else the database says whether it is a retry, which is never refused."""


class Limits:
    def __init__(self, *, max_remembered: int = MAX_REMEMBERED, max_senders: int = MAX_SENDERS) -> None:
        self._max_senders = max_senders
        self._paces: OrderedDict[tuple[str, str], _Pace] = OrderedDict()
        self._texts: Recent[tuple[str, int]] = Recent(max_remembered)
        self._retries: Recent[tuple[str, str, str]] = Recent(max_remembered)

    def __len__(self) -> int:
        return len(self._paces) + len(self._texts) + len(self._retries)

    def judge(self, draft: Draft, now_ms: int) -> Verdict:
        """What is granted counts as said."""
        pace = self._pace(draft, now_ms)
        drop = None
        if not self._retries.left_ms(draft.key, now_ms):
            drop = self._refusal(draft, pace, now_ms)
            if drop is None:
                pace.grant(now_ms)
                self._texts.add(_text_key(draft), now_ms)
                self._retries.add(draft.key, now_ms)
                return Verdict(None)
        wait_ms = _wait_of(pace.looks, LOOKS_PER_WINDOW, now_ms)
        if wait_ms:
            return Verdict(drop or _too_fast(wait_ms), is_final=True)
        pace.looks.append(now_ms)
        return Verdict(drop)

    def take_back(self, draft: Draft) -> None:
        """It was granted and then not said: to say it again is no duplicate. The bucket stays as it is."""
        self._texts.discard(_text_key(draft))

    def _refusal(self, draft: Draft, pace: _Pace, now_ms: int) -> Drop | None:
        left_ms = self._texts.left_ms(_text_key(draft), now_ms)
        if left_ms:
            return Drop(code="duplicate", message="you have just said that", retry_after_ms=left_ms)
        wait_ms = pace.wait_ms(now_ms, is_moderator=draft.sender.role.is_at_least(Role.MODERATOR))
        return _too_fast(wait_ms) if wait_ms else None

    def _pace(self, draft: Draft, now_ms: int) -> _Pace:
        key = (draft.stream_id, draft.sender.user_id)
        pace = self._paces.pop(key, None) or _Pace()
        pace.used_ms = now_ms
        self._paces[key] = pace
        while len(self._paces) > self._max_senders or _is_over(
            next(iter(self._paces.values())).used_ms, now_ms
        ):
            self._paces.popitem(last=False)
        return pace


def _text_key(draft: Draft) -> tuple[str, int]:
    # The hash, because so many texts may be 100 MB; that two texts of one person share it does not happen.
    return draft.sender.user_id, hash(draft.text)


def _too_fast(wait_ms: int) -> Drop:
    return Drop(code="rate_limited", message="you are sending too fast", retry_after_ms=wait_ms)


def _is_over(at_ms: int, now_ms: int) -> bool:
    return at_ms + WINDOW_MS <= now_ms


def _wait_of(times: deque[int], most: int, now_ms: int) -> int:
    """How long until one more fits into the window; forgets what has left it."""
    while times and _is_over(times[0], now_ms):
        times.popleft()
    return 0 if len(times) < most else times[-most] + WINDOW_MS - now_ms
