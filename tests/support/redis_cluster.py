"""A Redis Cluster of Valkey processes: three masters, the first with a replica, each behind a proxy.

Rule 1: clients are told the proxies' ports (`cluster-announce-client-port`), the servers use their own among
        each other: a fault on the way to a server is not a fault of the cluster.
Rule 2: the cluster is started once per run, from configurations written by hand: nobody has to meet. Its
        proxies live for one test. `heal` makes it whole again for the next.
"""

import asyncio
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import redis
from redis.crc import key_slot

from csn_rt.embedded import redis as embedded
from csn_rt.embedded.process import Account, GuardedProcess
from tests.support.proxy import Proxy

HOST = "127.0.0.1"
SLOTS = [(0, 5460), (5461, 10922), (10923, 16383)]
NODE_TIMEOUT_MS = 1000
"""As small as a busy machine bears: an election begins that long after a master fell silent."""
START_S = 20.0


class ClusterServer:
    """One process of the cluster; `number` 0 to 2 begin as masters, 3 as the replica of 0."""

    def __init__(self, number: int, directory: Path, password: str) -> None:
        self.number = number
        self.id = f"{number + 1:040x}"
        self.port, self.bus_port, self.client_port = _free_ports(3)
        self.home = directory / str(number)
        self.password = password
        self.admin = redis.Redis(
            host=HOST, port=self.port, password=password, protocol=2, socket_timeout=2, retry=None
        )
        self._process: GuardedProcess | None = None

    def write(self, servers: "list[ClusterServer]") -> None:
        self.home.mkdir()
        lines = [other.line(is_myself=other is self) for other in servers]
        (self.home / "nodes.conf").write_text("\n".join([*lines, "vars currentEpoch 3 lastVoteEpoch 0\n"]))
        configuration = self.home / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'bind {HOST}\nport {self.port}\nrequirepass "{self.password}"\nprimaryauth "{self.password}"\n'
            f'dir "{self.home}"\npidfile "{self.home / "redis.pid"}"\nsave ""\nappendonly no\ndaemonize no\n'
            f"cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port {self.bus_port}\n"
            f"cluster-announce-client-port {self.client_port}\ncluster-node-timeout {NODE_TIMEOUT_MS}\n"
            "cluster-allow-replica-migration no\nrepl-diskless-sync-delay 0\n"
        )

    def line(self, *, is_myself: bool) -> str:
        """This server in the file of one that knows it."""
        myself = "myself," if is_myself else ""
        shard = self.number % len(SLOTS)
        where = f"{self.id} {HOST}:{self.port}@{self.bus_port},,shard-id={shard + 1:040x}"
        if self.number >= len(SLOTS):
            return f"{where} {myself}slave {shard + 1:040x} 0 0 {shard + 1} connected"
        first, last = SLOTS[shard]
        return f"{where} {myself}master - 0 0 {shard + 1} connected {first}-{last}"

    def start(self) -> None:
        self._process = GuardedProcess(
            [str(embedded._binary()), str(self.home / "redis.conf")],
            Account(os.geteuid(), os.getegid()),
            log=self.home / "redis.log",
            signals=(signal.SIGTERM, signal.SIGTERM),
        )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    def send_signal(self, number: int) -> None:
        os.kill(int((self.home / "redis.pid").read_text()), number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)
        assert self._process is not None
        self._process.stop()

    def stop(self) -> None:
        self.admin.close()
        if self._process is not None:
            with suppress(OSError, ValueError):
                self.send_signal(signal.SIGCONT)
            self._process.stop()

    @property
    def is_master(self) -> bool:
        return self.admin.info("replication")["role"] == "master"

    @property
    def is_settled(self) -> bool:
        """Whether it serves and, as a replica, has all that its master has."""
        try:
            is_well = self.admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
            replication = self.admin.info("replication")
        except redis.RedisError:
            return False
        return is_well and replication.get("master_link_status", "up") == "up"


class RedisCluster:
    def __init__(self, directory: Path) -> None:
        self.password = secrets.token_urlsafe(12)
        self.servers = [ClusterServer(number, directory, self.password) for number in range(len(SLOTS) + 1)]
        for server in self.servers:
            server.write(self.servers)
        self.proxies: list[Proxy] = []

    @property
    def url(self) -> str:
        """Names two servers, which know the others."""
        seeds = ",".join(f"{HOST}:{server.client_port}" for server in self.servers[1:3])
        return f"redis-cluster://:{self.password}@{seeds}"

    # --- finding

    def owner(self, name: str) -> ClusterServer:
        """Who serves the slot of this name, as the others see it."""
        slot = key_slot(name.encode())
        for first, last, master, *_ in self.servers[2].admin.execute_command("CLUSTER SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.servers if server.id.encode() == master[2])
        raise LookupError(name)

    def channel_on(self, server: ClusterServer, prefix: str = "a") -> str:
        """The name of a channel that this server serves now."""
        return next(name for n in range(10_000) if self.owner(f"csn:{(name := f'{prefix}{n}')}") is server)

    # --- faults and changes

    def migrate(self, name: str, to: ClusterServer) -> None:
        """Move the slot of this name, and what is in it, as the documentation says."""
        slot, source = key_slot(name.encode()), self.owner(name)
        to.admin.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.admin.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", to.id)
        while keys := source.admin.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            source.admin.execute_command(
                *("MIGRATE", HOST, to.port, "", 0, 1000, "AUTH", self.password, "KEYS", *keys)
            )
        others = [server for server in self.masters() if server not in (to, source)]
        for server in (to, source, *others):
            server.admin.execute_command("CLUSTER SETSLOT", slot, "NODE", to.id)

    def empty(self) -> None:
        for server in self.masters():
            server.admin.flushall()

    def masters(self) -> list[ClusterServer]:
        return [server for server in self.servers if server.is_running and server.is_master]

    def replica(self) -> ClusterServer:
        [replica] = [server for server in self.servers if server.is_running and not server.is_master]
        return replica

    def replicated(self) -> ClusterServer:
        """The master that has a replica."""
        port = self.replica().admin.info("replication")["master_port"]
        return next(server for server in self.servers if server.port == port)

    def lonely(self) -> ClusterServer:
        """A master that has no replica: nobody takes its place."""
        return next(server for server in self.masters() if server is not self.replicated())

    @contextmanager
    def stopped(self, server: ClusterServer) -> Iterator[None]:
        """SIGSTOP: it takes connections and answers nothing."""
        server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            server.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[None]:
        """All servers, from every client."""
        async with AsyncExitStack() as stack:
            for proxy in self.proxies:
                await stack.enter_async_context(proxy.unreachable())
            yield

    def proxy(self, server: ClusterServer) -> Proxy:
        return self.proxies[server.number]

    # --- the life of a run and of a test

    def start(self) -> None:
        for server in self.servers:
            server.start()
        self.wait_settled()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def heal(self) -> None:
        """Start what was killed, forget all keys, and wait until all is well."""
        for server in self.servers:
            if not server.is_running:
                server.start()
        self.wait_settled()
        self.empty()

    def wait_settled(self) -> None:
        deadline = time.monotonic() + START_S
        while not all(server.is_settled for server in self.servers):
            if time.monotonic() > deadline:
                logs = [(server.home / "redis.log").read_text()[-1000:] for server in self.servers]
                raise TimeoutError("the cluster does not settle\n" + "\n\n".join(logs))
            time.sleep(0.02)

    @asynccontextmanager
    async def reachable(self) -> AsyncIterator["RedisCluster"]:
        """With its proxies, whole, and with nothing in it."""
        await asyncio.to_thread(self.heal)
        async with AsyncExitStack() as stack:
            self.proxies = [
                await stack.enter_async_context(
                    Proxy(f"redis://:{self.password}@{HOST}:{server.port}", server.client_port)
                )
                for server in self.servers
            ]
            yield self


@contextmanager
def running_cluster(directory: Path) -> Iterator[RedisCluster]:
    cluster = RedisCluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _free_ports(count: int) -> list[int]:
    """Below those that the system gives out: a port is used again after its server or proxy was away."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            found.append(port)
    return found
