"""Rule 1.3: how fast one person may chat; and 1.4: a retry is not limited."""

from hypothesis import given, settings
from hypothesis import strategies as st

from csn_rt.core.identity import Identity
from csn_rt.features.chat.draft import Draft
from csn_rt.features.chat.limits import Limits
from csn_rt.wire.roles import Role

ROLES = {"ann": Role.USER, "bob": Role.USER, "mod": Role.MODERATOR, "boss": Role.ADMIN}


class Sends:
    """Somebody at the keyboard; every text and client_id is a new one unless given."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = Limits() if limits is None else limits
        self.count = 0

    def verdict(self, at_ms, *, by="ann", stream="s1", text=None, client_id=None):
        self.count += 1
        sender = Identity(user_id=by, role=ROLES.get(by, Role.USER))
        number = f"{self.count}"
        return self.limits.judge(Draft(number, stream, sender, text or number, client_id or number), at_ms)

    def code(self, at_ms, **more):
        drop = self.verdict(at_ms, **more).drop
        return drop and drop.code


def test_five_messages_at_once_are_said_and_the_sixth_waits_a_second():
    sends = Sends()

    assert [None] * 5 + ["rate_limited"] == [sends.code(0) for _ in range(6)]
    assert 1000 == sends.verdict(0).drop.retry_after_ms
    assert [None, "rate_limited"] == [sends.code(1000) for _ in range(2)]


def test_an_empty_bucket_is_full_again_after_five_seconds():
    sends = Sends()
    for _ in range(5):
        sends.code(0)

    assert [None] * 5 + ["rate_limited"] == [sends.code(5000) for _ in range(6)]


def test_at_most_20_messages_are_said_in_30_seconds():
    sends = Sends()

    said = [at_ms for at_ms in range(0, 30_000, 1000) if sends.code(at_ms) is None]

    assert list(range(0, 20_000, 1000)) == said
    assert 1 == sends.verdict(29_999).drop.retry_after_ms
    assert sends.code(30_000) is None


def test_moderators_and_above_may_say_100_in_30_seconds_and_at_once():
    sends = Sends()

    for who in ("mod", "boss"):
        assert [None] * 100 + ["rate_limited"] == [sends.code(0, by=who) for _ in range(101)]
        assert sends.code(30_000, by=who) is None


def test_each_person_and_each_stream_has_a_bucket_of_its_own():
    sends = Sends()
    for _ in range(6):
        sends.code(0)

    assert sends.code(0, by="bob") is None
    assert sends.code(0, stream="s2") is None


def test_the_same_text_by_the_same_user_within_30_seconds_is_a_duplicate():
    sends = Sends()
    sends.code(0, text="goal")

    verdict = sends.verdict(12_000, text="goal")

    assert ("duplicate", 18_000) == (verdict.drop.code, verdict.drop.retry_after_ms)
    assert sends.code(30_000, text="goal") is None


def test_the_same_text_in_another_stream_is_a_duplicate_too():
    sends = Sends()
    sends.code(0, text="buy this")

    assert "duplicate" == sends.code(0, text="buy this", stream="s2")


def test_the_same_text_by_somebody_else_is_no_duplicate():
    sends = Sends()
    sends.code(0, text="goal")

    assert sends.code(0, text="goal", by="bob") is None


def test_a_refused_duplicate_takes_nothing_and_does_not_make_the_time_longer():
    sends = Sends()
    sends.code(0, text="goal")

    for at_ms in range(1000, 20_000, 100):
        sends.code(at_ms, text="goal")

    assert [None] * 5 == [sends.code(29_000) for _ in range(5)]
    assert sends.code(30_000, text="goal") is None


def test_a_retry_is_neither_limited_nor_a_duplicate():
    sends = Sends()
    sends.code(0, text="goal", client_id="k")
    for _ in range(6):
        sends.code(0)

    assert [None] * 10 == [sends.code(0, text="goal", client_id="k") for _ in range(10)]


def test_a_retry_takes_nothing_from_the_bucket():
    sends = Sends()
    for _ in range(10):
        sends.code(0, text="goal", client_id="k")

    assert [None] * 4 + ["rate_limited"] == [sends.code(0) for _ in range(5)]


def test_a_refused_message_is_looked_up_because_it_may_be_a_retry_of_another_node():
    sends = Sends()
    for _ in range(5):
        sends.code(0)

    assert not sends.verdict(0).is_final


def test_a_flood_of_retries_or_refused_messages_does_not_reach_the_database():
    for client_id in ("k", None):
        sends = Sends()
        for _ in range(5):
            sends.code(0, client_id=client_id)
        verdicts = [sends.verdict(0, client_id=client_id) for _ in range(200)]

        reached = [verdict for verdict in verdicts if not verdict.is_final]
        assert len(reached) <= 100
        assert "rate_limited" == verdicts[-1].drop.code
        assert not sends.verdict(30_000, client_id=client_id).is_final


def test_what_was_granted_and_not_said_is_no_duplicate():
    sends = Sends()
    draft = Draft("1", "s1", Identity(user_id="ann", role=Role.USER), "goal", "k1")
    sends.limits.judge(draft, 0)

    sends.limits.take_back(draft)

    assert sends.code(0, text="goal") is None


def test_memory_is_forgotten_when_it_does_not_matter_any_more():
    sends = Sends()
    for number in range(1000):
        sends.code(number, by=f"u{number}")

    sends.code(60_000)

    assert 3 == len(sends.limits)  # one sender, one text, one retry


def test_memory_is_bounded_whatever_comes():
    sends = Sends(Limits(max_remembered=50, max_senders=10))

    for number in range(1000):
        sends.code(0, by=f"u{number}")

    assert 50 + 50 + 10 == len(sends.limits)


SENDS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 300), st.integers(0, 6000), st.just(30_000)),
        st.sampled_from(["ann", "bob", "mod"]),
        st.sampled_from(["s1", "s2"]),
        st.integers(0, 60),
        st.one_of(st.none(), st.integers(0, 10)),
    ),
    max_size=100,
)


class Model:
    """The rules said again in the plainest way: look through everything that was granted."""

    def __init__(self) -> None:
        self.granted = []

    def recent(self, now, **wanted):
        return [
            each
            for each in self.granted
            if now - each["at"] < 30_000 and all(each[k] == v for k, v in wanted.items())
        ]

    def tokens(self, now, by, stream):
        tokens, at = 5_000, None
        for each in self.granted:
            if (each["by"], each["stream"]) == (by, stream):
                tokens = tokens if at is None else min(5_000, tokens + each["at"] - at)
                tokens, at = tokens - 1_000, each["at"]
        return 5_000 if at is None else min(5_000, tokens + now - at)

    def code(self, now, by, stream, text, client_id):
        if self.recent(now, by=by, stream=stream, client_id=client_id):
            return None
        if self.recent(now, by=by, text=text):
            return "duplicate"
        said = len(self.recent(now, by=by, stream=stream))
        most, tokens = (100, 1_000) if by == "mod" else (20, self.tokens(now, by, stream))
        if said >= most or tokens < 1_000:
            return "rate_limited"
        self.granted.append({"at": now, "by": by, "stream": stream, "text": text, "client_id": client_id})
        return None


@given(SENDS)
@settings(max_examples=200)
def test_the_limits_are_the_rules_whatever_the_history(sends):
    at_keyboard, model, now = Sends(), Model(), 0
    for number, (pause, by, stream, text, client_id) in enumerate(sends):
        now += pause
        key = f"new-{number}" if client_id is None else f"k{client_id}"
        expected = model.code(now, by, stream, f"t{text}", key)

        assert expected == at_keyboard.code(now, by=by, stream=stream, text=f"t{text}", client_id=key)


@given(SENDS, st.sampled_from(["ann", "mod"]), st.integers(0, 60))
@settings(max_examples=200)
def test_retry_after_is_exactly_when_it_may_be_said(sends, by, text):
    at_keyboard, now = Sends(), 0
    for pause, sender, stream, said, _ in sends:
        now += pause
        at_keyboard.code(now, by=sender, stream=stream, text=f"t{said}")
    waited = 0
    while (drop := at_keyboard.verdict(now + waited, by=by, text=f"t{text}").drop) is not None:
        almost = waited + drop.retry_after_ms - 1
        if almost > waited:
            early = at_keyboard.verdict(now + almost, by=by, text=f"t{text}").drop
            assert early is not None
            assert 1 == early.retry_after_ms
        waited += drop.retry_after_ms
        assert waited <= 60_000
