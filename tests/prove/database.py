"""At the end: what PostgreSQL itself says, against what was acknowledged and what was seen.

chat        of both chats: the log's offsets are 1, 2, 3 … up to the channel's head; at each stands what the
            watchers saw there; every acknowledged message is stored once, at its sequence, with its text,
            and shown; every stored message is in the log once, with its text; what was taken back is stored
            as deleted, its text stands nowhere in the log, and its removal has an offset of its own
progress    every row is as it was acknowledged last
sessions    every acknowledged session is there, of its person; ended if and how its end was acknowledged;
            whoever vanished has been swept; nobody watched for longer than there was time
"""

from collections import Counter
from typing import Any

from csn_rt.wire.names import stream_chat
from tests.prove.checker import Ledger
from tests.prove.client import now
from tests.prove.load import Load
from tests.prove.player import Player, WatchSession
from tests.prove.site import Site

_SWEPT_S = 45.0 + 10.0 + 5.0
"""Silence, the pause between sweeps, and some room."""
_SLACK_MS = 1_000

_LOG = """
SELECT "offset", data ->> 'type' AS type, data ->> 'id' AS id, data ->> 'text' AS text
  FROM channel_log WHERE channel = $1 ORDER BY "offset"
"""
_MESSAGES = """
SELECT id::text, sequence, user_id, client_id, text, status
  FROM live_chat_messages WHERE stream_id = $1::text::uuid
"""
_SESSIONS = """
SELECT id::text, person, end_reason, watched_ms,
       extract(epoch FROM coalesce(ended_at, last_heartbeat_at) - started_at) * 1000 AS length_ms
  FROM live_stream_sessions
"""
_PROGRESS = "SELECT user_id, content_id::text, version, position_ms FROM user_watch_progress"


async def compare(site: Site, load: Load) -> None:
    """Calm the load first. What is wrong goes into the ledger."""
    async with site.database() as connection:
        for chat in load.chats:
            channel = stream_chat(chat.stream_id)
            head = await connection.fetchval("SELECT head FROM channels WHERE channel = $1", channel)
            log = await connection.fetch(_LOG, channel)
            messages = await connection.fetch(_MESSAGES, chat.stream_id)
            compare_log(chat.ledger, head, log)
            compare_messages(chat.ledger, log, messages)
            compare_acknowledged(chat.ledger, log, messages)
        sessions = await connection.fetch(_SESSIONS)
        progress = await connection.fetch(_PROGRESS)
    _compare_progress(load.ledger, load.players, progress)
    acked = [session for player in load.players for session in player.sessions]
    vanished = [ghost.session for ghost in load.ghosts if ghost.session is not None]
    _compare_sessions(load.ledger, sessions, acked, vanished)


def compare_log(ledger: Ledger, head: int, log: list[Any]) -> None:
    offsets = [row["offset"] for row in log]
    if offsets != list(range(1, head + 1)):
        odd = set(offsets) ^ set(range(1, head + 1)) or Counter(offsets).most_common(3)
        ledger.find("lost", f"the log's offsets are not 1 to {head}: {odd}")
    for row in log:
        if ledger.ids.get(row["offset"], row["id"]) != row["id"]:
            ledger.find("reordered", f"the log has {row['id']} at {row['offset']}, and others saw another")
        if row["text"] is not None and row["id"] in ledger.retracted_at:
            ledger.find("shown after removal", f"the log has the text of {row['id']} at {row['offset']}")
        if row["text"] is not None and row["text"] != ledger.texts.get(row["id"], row["text"]):
            ledger.find("lost", f"the log has {row['id']} as {row['text']!r}, which nobody has said")


def compare_messages(ledger: Ledger, log: list[Any], messages: list[Any]) -> None:
    at = {row["offset"]: row for row in log}
    told = Counter(row["id"] for row in log if row["type"] == "chat.message")
    keys = Counter((row["user_id"], row["client_id"]) for row in messages)
    for key, times in keys.items():
        if times > 1:
            ledger.find("duplicated", f"{key} is stored {times} times")
    for row in messages:
        logged = at.get(row["sequence"])
        if logged is None or logged["id"] != row["id"] or told[row["id"]] > 1:
            ledger.find(
                "lost", f"message {row['id']} is not in the log at {row['sequence']}, or not only there"
            )
        elif row["id"] in ledger.retracting:
            continue
        elif logged["type"] != "chat.message" or row["status"] != "visible":
            ledger.find(
                "lost", f"{row['id']} is {row['status']}, in the log {logged['type']}: nobody took it back"
            )


def compare_acknowledged(ledger: Ledger, log: list[Any], messages: list[Any]) -> None:
    stored = {row["id"]: row for row in messages}
    places = {row["id"]: row["sequence"] for row in messages}
    removed = {
        row["id"] for row in log if row["type"] == "chat.deleted" and row["offset"] != places.get(row["id"])
    }
    for ack in ledger.acks:
        row = stored.get(ack.id)
        if row is None or (row["sequence"], row["client_id"]) != (ack.sequence, ack.client_id):
            ledger.find("lost", f"{ack.client_id} was acknowledged as {ack.id}, and stored is {row}")
        elif row["text"] != ack.text and ack.id not in ledger.retracting:
            ledger.find("lost", f"{ack.id} was said as {ack.text!r}, and is stored as {row['text']!r}")
        elif ack.id in ledger.retracted_at and row["status"] != "deleted":
            ledger.find("shown after removal", f"{ack.id} was taken back, and is {row['status']}")
        if ack.id in ledger.retracted_at and ack.id not in removed:
            ledger.find("lost", f"the log does not say that {ack.id} is removed")


def _compare_progress(ledger: Ledger, players: list[Player], progress: list[Any]) -> None:
    stored = {(row["user_id"], row["content_id"]): (row["version"], row["position_ms"]) for row in progress}
    for player in players:
        if (row := player.row) is None:
            continue
        if (is_now := stored.get((player.name, player.content_id))) != (row.version, row.position_ms):
            ledger.find("lost", f"{player.name}'s row is {is_now}, and acknowledged was {row}")


def _compare_sessions(
    ledger: Ledger, sessions: list[Any], acked: list[WatchSession], vanished: list[WatchSession]
) -> None:
    stored = {row["id"]: row for row in sessions}
    for session in [*acked, *vanished]:
        row = stored.get(session.session_id)
        if row is None or row["person"] != f"u:{session.user}":
            ledger.find("lost", f"session {session.session_id} of {session.user} is {row}")
        elif session.is_ended and row["end_reason"] is None:
            ledger.find("lost", f"session {session.session_id} of {session.user} has ended, and is open")
        elif not session.is_ended and session not in vanished and row["end_reason"] is not None:
            ledger.find("lost", f"session {session.session_id} of {session.user} is {row['end_reason']}")
    for session in vanished:
        row = stored.get(session.session_id)
        if row is not None and row["end_reason"] is None and now() - session.heard_at > _SWEPT_S:
            ledger.find("ghosts", f"session {session.session_id} of {session.user} was not swept")
    for row in sessions:
        if row["watched_ms"] > row["length_ms"] + _SLACK_MS:
            ledger.find(
                "wrong counts", f"{row['person']} watched {row['watched_ms']} of {row['length_ms']} ms"
            )
