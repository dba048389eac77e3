"""What both embedded servers need of the operating system: one owner, a guarded process, no leftovers.

Rule 1: a data directory has one owner at a time, by a lock that the kernel releases when the owner dies.
Rule 2: a server ends with its owner (see guard.py); `stop` and the owner's death are the same path.
Rule 3: a process id in a file is never believed, ids are recycled: a leftover is a process that runs the same
        program in the same directory.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped]

_GUARD = Path(__file__).with_name("guard.py")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_POLL_S = 0.01
_GRACE_S = 8


class EmbeddedFailed(Exception):
    """An embedded server cannot be had; the message is for the person who started the program."""


class Account:
    """The user that a server runs as."""

    def __init__(self, user: int, group: int) -> None:
        self.user = user
        self.group = group

    def run(self, command: Sequence[str | Path], *, timeout_s: float) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end as this user; never raises for its exit status."""
        is_other = self.user != os.geteuid()
        return subprocess.run(  # noqa: S603  our own commands
            command,
            check=False,
            cwd="/",
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            user=self.user if is_other else None,
            group=self.group if is_other else None,
            extra_groups=[] if is_other else None,
        )

    def can(self, test: str, path: Path) -> bool:
        """Whether this user passes `test -<letter> path`: found out by trying, not worked out from modes."""
        return self.run(["/bin/sh", "-c", f'test -{test} "$0"', path], timeout_s=10).returncode == 0


class OwnerLock:
    """Held while a server runs; a second owner is refused at once. Makes the data directory if need be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        make_directory(self._path.parent)
        try:
            file = self._path.open("a+", encoding="ascii")
        except OSError as exc:
            raise EmbeddedFailed(f"the data directory {self._path.parent} cannot be used: {exc}") from exc
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise EmbeddedFailed(
                f"{self._path.parent} is in use by another running program (process {owner}); "
                "stop that one or choose another data directory"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


class GuardedProcess:
    """A server under its guard; `scratch` is a directory that goes with it.

    Its output goes to the log file, which begins anew with every start.
    """

    def __init__(
        self,
        command: Sequence[str],
        account: Account,
        *,
        log: Path,
        signals: tuple[int, int],
        scratch: Path | None = None,
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self._guard = subprocess.Popen(  # noqa: S603  our own commands
                [
                    *(sys.executable, "-I", "-S", str(_GUARD)),
                    *(
                        str(argument)
                        for argument in (account.user, account.group, _GRACE_S, *signals, scratch or "")
                    ),
                    *command,
                ],
                cwd="/",
                env=_ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self._guard.poll() is None

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Return when the server answers; raises EmbeddedFailed with its log if it ended or took too long."""
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if not self.is_running:
                raise EmbeddedFailed(f"the server ended while starting; {self._log_tail()}")
            if time.monotonic() > deadline:
                raise EmbeddedFailed(f"the server was not ready after {timeout_s:g} s; {self._log_tail()}")
            time.sleep(_POLL_S)

    def _log_tail(self) -> str:
        return f"{self._log} says:\n{self._log.read_text(encoding='utf-8', errors='replace')[-4000:]}"

    def stop(self) -> None:
        """Let go of the pipe and wait until server and guard are gone. May be called twice."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        try:
            self._guard.wait(timeout=4 * _GRACE_S)
        except subprocess.TimeoutExpired:
            raise EmbeddedFailed(f"the server could not be stopped; {self._log_tail()}") from None


def stop_leftovers(directory: Path, program: str, signals: tuple[int, int]) -> None:
    """Stop what a killed owner and guard left: every process of that program that works in that directory.

    The caller holds the directory's lock, so that none of them can belong to a living owner.
    """
    for number in (*signals, signal.SIGKILL):
        leftovers = list(_processes_in(directory, program))
        for process in leftovers:
            _signal(process, number)
        _gone, alive = psutil.wait_procs(leftovers, timeout=_GRACE_S)
        if not alive and not any(_processes_in(directory, program)):
            return
    raise EmbeddedFailed(f"an old {program} process still works in {directory} and cannot be stopped")


def _processes_in(directory: Path, program: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.name().startswith(program) and Path(process.cwd()) == directory:
                yield process
        except psutil.Error:
            continue


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)  # psutil compares the time of birth first: never a recycled id
    except psutil.NoSuchProcess:
        return


def make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise EmbeddedFailed(f"the data directory {path} cannot be made: {exc.strerror}") from exc
