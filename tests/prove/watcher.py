"""Those who watch: a room's chat and its count, or their own progress on another device."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from csn_rt.wire import names
from tests.bench.client import Refused
from tests.prove.checker import Gap, History, Ledger
from tests.prove.client import LOST, Diary, Guest, Socket, now
from tests.prove.told import Data, Push, read_data, read_items, read_publications, read_push

_PAGE = 100


class Watcher(Guest):
    """Subscribed to chat and viewers, with recovery: what it sees goes into its history.

    After `recovered: false` it reads again, from chat.history, what it was not pushed.
    """

    IS_TIMED = True

    def __init__(
        self, ledger: Ledger, name: str, diary: Diary, urls: Sequence[str], stream_id: str, **options: Any
    ) -> None:
        super().__init__(diary, name, urls, **options)
        self.history: History = ledger.open_history(name, is_timed=self.IS_TIMED)
        self.count: Data | None = None
        """The newest viewer count that it was told."""
        self.times_recovered = 0
        self.times_reread = 0
        self._ledger = ledger
        self._stream_id = stream_id
        self._chat = names.stream_chat(stream_id)
        self._viewers = names.stream_viewers(stream_id)
        self._count_seq = 0
        """Of the newest count in this subscription."""
        self._work: set[asyncio.Task[None]] = set()

    @property
    def is_complete(self) -> bool:
        """Whether it is there, and has nothing left to read again."""
        return self.socket is not None and not self._work

    async def enter(self, socket: Socket) -> None:
        await self._enter_chat(socket)
        await self._enter_viewers(socket)

    async def _enter_chat(self, socket: Socket) -> None:
        history = self.history
        since = {"recover": True, "epoch": self._ledger.epoch, "offset": history.position}
        early: list[bytes] = []
        socket.on_push = early.append
        reply = await self.subscribe(socket, self._chat, **(since if history.since is not None else {}))
        epoch, offset = reply["epoch"], reply.get("offset", 0)
        if history.since is None:
            history.subscribed(epoch, offset)
        elif reply.get("recovered"):
            self.times_recovered += 1
            history.recovered(epoch, read_publications(reply), now())
        elif (gap := history.not_recovered(epoch, offset)) is not None:
            self.times_reread += 1
            self._spawn(self._reread(gap))
        socket.on_push = lambda line: self._pushed(socket, line)
        for line in early:
            self._pushed(socket, line)

    async def _enter_viewers(self, socket: Socket) -> None:
        self._count_seq = 0
        reply = await self.subscribe(socket, self._viewers)
        self._counted(read_data(reply["data"]), is_snapshot=True)

    def _pushed(self, socket: Socket, line: bytes) -> None:
        push = read_push(line)
        if push.unsubscribe is not None and push.unsubscribe.code >= 2500:
            self._spawn(self._enter_again(socket, push))
        elif push.pub is None:
            return
        elif push.channel == self._chat:
            self.history.took(push.pub.offset, push.pub.data, now())
        else:
            self._counted(push.pub.data)

    def _counted(self, count: Data, *, is_snapshot: bool = False) -> None:
        if count.seq <= self._count_seq:
            # A push that came before the reply with the snapshot is no fault of the server's.
            if not is_snapshot and count.seq < self._count_seq:
                self._ledger.find(
                    "reordered", f"{self.history.name}: count {count.seq} after {self._count_seq}"
                )
            return
        self._count_seq = count.seq
        if self.count is None or count.seq > self.count.seq:
            self.count = count

    async def _enter_again(self, socket: Socket, push: Push) -> None:
        try:
            await (self._enter_chat(socket) if push.channel == self._chat else self._enter_viewers(socket))
        except (*LOST, Refused):
            socket.close()

    async def _reread(self, gap: Gap) -> None:
        before = gap.last + 1
        while before > gap.first:
            asked_at = now()
            page = await self.insist("chat.history", stream_id=self._stream_id, before=before, limit=_PAGE)
            self.history.reread(gap, asked_at, read_items(page), now())
            if page["next"] is None:
                return
            before = page["next"]

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


class Laggard(Watcher):
    """One whose socket takes little at a time, and which may be told to stop reading: nobody waits for it."""

    IS_TIMED = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._options = {"socket_factory": _small_socket}


def _small_socket(_url: object) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    # The other side's send buffer is many segments long: with loopback's it would hold 2 MB.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    sock.setblocking(False)
    return sock


class Device(Guest):
    """A person's other device: it is told how far the person has watched."""

    def __init__(self, ledger: Ledger, user: str, diary: Diary, urls: Sequence[str], **options: Any) -> None:
        super().__init__(diary, f"device of {user}", urls, **options)
        self.rows: dict[str, Data] = {}
        """By content: the newest row that it was told."""
        self.told_at: dict[tuple[str, int], float] = {}
        """By content and version: when it was told."""
        self._ledger = ledger
        self._user = user
        self._channel = names.user(user)
        self._pushed_version: dict[str, int] = {}

    async def enter(self, socket: Socket) -> None:
        early: list[bytes] = []
        socket.on_push = early.append
        self._pushed_version.clear()
        reply = await self.subscribe(socket, self._channel)
        for row in read_data(reply["data"]).continue_watching:
            self._took(row)
        socket.on_push = lambda line: self._pushed(socket, line)
        for line in early:
            self._pushed(socket, line)

    def _pushed(self, socket: Socket, line: bytes) -> None:
        push = read_push(line)
        if push.unsubscribe is not None and push.unsubscribe.code >= 2500:
            task = asyncio.create_task(self._enter_again(socket))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        elif push.pub is not None and push.pub.data.type == "progress.changed":
            row = push.pub.data
            if row.version <= self._pushed_version.get(row.content_id, 0):
                self._ledger.find(
                    "reordered", f"{self._user}: version {row.version} was pushed after a newer one"
                )
            self._pushed_version[row.content_id] = row.version
            self._took(row)

    async def _enter_again(self, socket: Socket) -> None:
        try:
            await self.enter(socket)
        except (*LOST, Refused):
            socket.close()

    def _took(self, row: Data) -> None:
        if row.content_id not in self.rows or row.version > self.rows[row.content_id].version:
            self.rows[row.content_id] = row
            self.told_at[row.content_id, row.version] = now()
