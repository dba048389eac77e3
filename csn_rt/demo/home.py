"""The demo's data directory: where it is, and the secret that is kept there."""

import os
import secrets
import sys
from pathlib import Path
from typing import Final

_SECRET_BYTES: Final = 32


class HomeFailed(Exception):
    """The data directory cannot be used; the message says why."""


def default_data_dir(purpose: str) -> Path:
    """Where programs of this user keep their data; each purpose has a directory of its own."""
    base = os.environ.get("XDG_DATA_HOME", "")
    if base.startswith("/"):
        shared = Path(base)
    elif sys.platform == "darwin":
        shared = Path.home() / "Library" / "Application Support"
    else:
        shared = Path.home() / ".local" / "share"
    return shared / "csn_rt" / purpose


def make_home(data_dir: Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise HomeFailed(f"The data directory {data_dir} cannot be made: {exc.strerror}.") from exc


def kept_secret(data_dir: Path) -> str:
    """The secret of this data directory, made at the first call; nobody else may read the file.

    The caller owns the directory: two at a time would make two secrets.
    """
    path = data_dir / "secret"
    try:
        if not path.exists() or path.stat().st_size < _SECRET_BYTES:
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(_SECRET_BYTES))
        return path.read_text(encoding="ascii")
    except OSError as exc:
        raise HomeFailed(f"The secret in {path} cannot be kept: {exc.strerror}.") from exc
