"""`csn-rt check`: the environment, PostgreSQL and Redis as this program finds them.

Rule 1: every setting is listed with its meaning, also when the environment is refused; secrets are not shown.
Rule 2: every part is looked at, whatever is wrong with the others.
"""

import time
from collections.abc import Iterator, Mapping

import asyncpg
import msgspec

from csn_rt.bus.redis import RedisBus
from csn_rt.db import migrate
from csn_rt.db.problems import DATABASE_PROBLEMS, describe_database_problem
from csn_rt.features.context import new_id
from csn_rt.settings import SETTINGS, Settings, SettingsRefused, check_serving, read_settings, show_value

_CONNECT_TIMEOUT_S = 5.0
_LOOPBACK = "127.0.0.1"


class Report(msgspec.Struct, frozen=True):
    text: str
    is_good: bool


class Finding(msgspec.Struct, frozen=True):
    part: str
    is_good: bool
    told: str


async def check(environ: Mapping[str, str]) -> Report:
    try:
        settings = read_settings(environ)
        environment = _environment(settings)
    except SettingsRefused as exc:
        settings = Settings(
            database_url=environ.get("DATABASE_URL", ""), redis_url=environ.get("REDIS_URL", "")
        )
        environment = Finding("environment", is_good=False, told=str(exc))
    findings = [environment, await _postgres(settings.database_url), await _redis(settings.redis_url)]
    text = "\n".join([*_list(settings), "", *(_line(each) for each in findings)])
    return Report(text, all(each.is_good for each in findings))


def _list(settings: Settings) -> Iterator[str]:
    yield f"{'setting':28} {'value':24} meaning"
    for row in SETTINGS:
        unit = f", in {row.unit}" if row.unit else ""
        default = f"; default {show_value(row.default)}" if row.default not in ("", ()) else ""
        yield f"{row.name:28} {row.shown(settings):24} {row.meaning}{unit}{default}"


def _line(finding: Finding) -> str:
    told = finding.told.replace("\n", f"\n{'':28} {'':6} ")
    return f"{finding.part:28} {'ok' if finding.is_good else 'FAILED':6} {told}"


def _environment(settings: Settings) -> Finding:
    try:
        check_serving(settings, _LOOPBACK)
    except SettingsRefused as exc:
        return Finding("environment", is_good=False, told=str(exc))
    return Finding("environment", is_good=True, told="a node can serve with it")


async def _postgres(url: str) -> Finding:
    if not url:
        return Finding("PostgreSQL", is_good=False, told="DATABASE_URL is not set.")
    began = time.monotonic()
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT_S)
        try:
            missing = [each.name for each in await migrate.status(connection) if each.applied_at is None]
            version = ".".join(map(str, connection.get_server_version()[:2]))
        finally:
            await connection.close(timeout=_CONNECT_TIMEOUT_S)
    except DATABASE_PROBLEMS as exc:
        return Finding("PostgreSQL", is_good=False, told=describe_database_problem(exc))
    if missing:
        told = f"reached, but {len(missing)} migrations are not applied: run `csn-rt migrate`."
        return Finding("PostgreSQL", is_good=False, told=told)
    took_ms = (time.monotonic() - began) * 1000
    return Finding("PostgreSQL", is_good=True, told=f"{version}, schema up to date, {took_ms:.0f} ms")


async def _redis(url: str) -> Finding:
    """A message to ourselves through Redis, by the code that nodes use."""
    if not url:
        return Finding("Redis", is_good=False, told="REDIS_URL is not set.")
    try:
        bus = RedisBus(url, f"check-{new_id()}")
    except ValueError as exc:
        return Finding("Redis", is_good=False, told=f"REDIS_URL: {exc}.")
    try:
        await bus.start(lambda _envelope: None, lambda _is_up: None)
        if not bus.is_up or bus.lag_s is None:
            return Finding("Redis", is_good=False, told="a message to ourselves did not come back.")
        return Finding(
            "Redis", is_good=True, told=f"a message to ourselves came back in {bus.lag_s * 1000:.1f} ms"
        )
    finally:
        await bus.close()
