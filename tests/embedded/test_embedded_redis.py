"""The embedded Redis, run for real."""

import os
import stat
from urllib.parse import urlsplit

import psutil
import pytest
import redis

from csn_rt.embedded.process import EmbeddedFailed
from csn_rt.embedded.redis import EmbeddedRedis
from tests.embedded.conftest import processes_in, wait_until_empty


@pytest.fixture
def server(data_dir):
    with EmbeddedRedis(data_dir) as server:
        yield server


def connect(url):
    return redis.Redis.from_url(url, decode_responses=True)


def test_it_answers_at_its_address(server):
    with connect(server.url) as client:
        assert client.ping()


def test_it_asks_for_a_password(server):
    parts = urlsplit(server.url)
    with (
        connect(f"redis://{parts.hostname}:{parts.port}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_its_password_is_in_no_command_line_and_no_readable_file(server, data_dir):
    password = urlsplit(server.url).password
    commands = [" ".join(process.cmdline()) for process in processes_in(data_dir / "redis")]

    assert commands
    assert not any(password in command for command in commands)
    assert 0o600 == stat.S_IMODE((data_dir / "redis" / "redis.conf").stat().st_mode)


def test_it_listens_on_the_loopback_address_only(server, data_dir):
    [process] = processes_in(data_dir / "redis")
    listening = [each for each in process.net_connections() if each.status == psutil.CONN_LISTEN]

    assert [("127.0.0.1", server.port)] == [tuple(each.laddr) for each in listening]


def test_a_restart_has_the_same_address_and_no_data(data_dir):
    server = EmbeddedRedis(data_dir)
    server.start()
    url = server.url
    with connect(url) as client:
        client.set("key", "value")
    server.stop()
    server.start()
    try:
        with connect(url) as client:
            assert client.get("key") is None
    finally:
        server.stop()


def test_a_stop_leaves_no_process(data_dir):
    server = EmbeddedRedis(data_dir)
    server.start()
    server.stop()

    assert [] == processes_in(data_dir / "redis")


def test_a_second_owner_is_refused_with_the_first_ones_process(server, data_dir):
    with pytest.raises(EmbeddedFailed, match=f"{data_dir} is in use by .*process {os.getpid()}"):
        EmbeddedRedis(data_dir).start()


def test_a_killed_owner_takes_its_server_along(own, data_dir):
    own("EmbeddedRedis", data_dir).kill()

    wait_until_empty(data_dir / "redis")


def test_a_leftover_whose_guard_was_killed_too_is_stopped_by_the_next_start(own, data_dir):
    own("EmbeddedRedis", data_dir).kill_with_guard()
    leftovers = processes_in(data_dir / "redis")
    with EmbeddedRedis(data_dir) as server, connect(server.url) as client:
        assert leftovers, "the story needs a server that lived on"
        assert not any(process.is_running() for process in leftovers)
        assert client.ping()


def test_a_port_that_is_taken_meanwhile_is_not_the_end(data_dir, monkeypatch):
    taken = []
    with EmbeddedRedis(data_dir / "first") as first:

        def free_port(original=EmbeddedRedis.__init__.__globals__["_free_port"]):
            taken.append(1)
            return first.port if len(taken) == 1 else original()

        monkeypatch.setattr("csn_rt.embedded.redis._free_port", free_port)
        with EmbeddedRedis(data_dir / "second") as second, connect(second.url) as client:
            assert client.ping()
            assert first.port != second.port
