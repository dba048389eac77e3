"""The command line, called as an operator would. Rule numbers are those of csn_rt/cli.py."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time

import jwt
import pytest
import structlog

from csn_rt.cli import main
from tests.support.cluster import free_port
from tests.support.servers import administer, new_database_name, with_database

SECRET = "a-secret-of-at-least-32-bytes-in-length"
AWAY = {
    "DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/none",
    "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0",
}


class Ended:
    """How a command ended and what it said."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def csn_rt(monkeypatch, capfd):
    """Calls the command line in this process; the environment is what the test gives, and nothing else."""
    handlers, level = logging.getLogger().handlers, logging.getLogger().level

    def call(*arguments, **environment):
        for name in list(os.environ):
            if name.startswith(("CSN_", "DATABASE_URL", "REDIS_URL", "PORT")):
                monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["csn-rt", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        assert "Traceback" not in said.err, "rule 1"
        return Ended(ended.value.code or 0, said.out, said.err)

    yield call
    logging.getLogger().handlers, logging.getLogger().level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
async def empty_database_url(servers):
    """A database without a table."""
    name = new_database_name()
    await administer(servers.postgres_url, f"CREATE DATABASE {name}")
    yield with_database(servers.postgres_url, name)
    await administer(servers.postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_token_carries_who_and_what_and_how_long(csn_rt):
    ended = csn_rt(
        "token",
        *("--user", "ann", "--role", "moderator", "--name", "Ann", "--ttl", 60),
        CSN_AUTH="dev",
        CSN_SECRET=SECRET,
    )
    claims = jwt.decode(ended.out.strip(), SECRET, algorithms=["HS256"])
    assert ("ann", "Ann", {"role": "moderator"}) == (claims["sub"], claims["name"], claims["metadata"])
    assert 60 == claims["exp"] - claims["iat"]


@pytest.mark.parametrize("user", ["anon_ann", "x" * 201])
def test_a_token_that_no_server_would_take_is_not_made(csn_rt, user):
    ended = csn_rt("token", "--user", user, CSN_AUTH="dev", CSN_SECRET=SECRET)
    assert (1, "") == (ended.status, ended.out)
    assert "No server would take this token" in ended.err


def test_tokens_are_made_for_dev_only(csn_rt):
    ended = csn_rt("token", "--user", "ann", CSN_SECRET=SECRET)
    assert (1, "Tokens can be made only where they are taken: set CSN_AUTH=dev.\n") == (
        ended.status,
        ended.err,
    )


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_without_addresses_the_way_out_is_told(csn_rt, command):
    ended = csn_rt(command, CSN_AUTH="dev", CSN_SECRET=SECRET)
    assert 1 == ended.status, "rule 1"
    assert all(word in ended.err for word in ("DATABASE_URL", "REDIS_URL", "--embedded")), "rule 1"


@pytest.mark.parametrize(
    "command", [["serve"], ["worker"], ["migrate"], ["token", "--user", "ann"], ["demo"]]
)
def test_an_unknown_setting_stops_every_command(csn_rt, command):
    ended = csn_rt(*command, CSN_DRAN_S="1")
    assert (1, "CSN_DRAN_S is no setting; did you mean CSN_DRAIN_S?\n") == (ended.status, ended.err), "rule 1"


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["migrate"], ["migrate", "--status"]])
def test_a_database_that_is_away_is_told_in_a_sentence(csn_rt, command):
    ended = csn_rt(*command, CSN_AUTH="dev", CSN_SECRET=SECRET, **AWAY)
    assert 1 == ended.status, "rule 1"
    assert ended.err.splitlines()[-1].startswith("PostgreSQL cannot be used: "), "rule 1"
    assert "hunter2" not in ended.err


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["serve", "--port", "x"], ["token"], ["demo", "--nodes", "0"]]
)
def test_a_wrong_call_has_status_2(csn_rt, arguments):
    assert 2 == csn_rt(*arguments).status, "rule 1"


def test_migrate_brings_the_schema_up_to_date_once(csn_rt, empty_database_url):
    first = csn_rt("migrate", DATABASE_URL=empty_database_url)
    assert "applied 0002_pre_league_and_content.sql" in first.out
    again = csn_rt("migrate", DATABASE_URL=empty_database_url)
    assert "nothing to do: the schema is up to date\n" == again.out


def test_migrate_status_changes_nothing(csn_rt, empty_database_url):
    for _ in range(2):
        ended = csn_rt("migrate", "--status", DATABASE_URL=empty_database_url)
        assert ended.out.splitlines()[0].split() == ["0001_pre_channels.sql", "not", "applied"]


def test_check_is_content_with_a_good_environment(csn_rt, database_url, redis_url):
    ended = csn_rt("check", CSN_AUTH="dev", CSN_SECRET=SECRET, DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert ["environment ok", "PostgreSQL ok", "Redis ok"] == findings(ended)
    assert 0 == ended.status


async def test_check_is_content_with_a_cluster(csn_rt, database_url, redis_cluster):
    ended = await asyncio.to_thread(
        csn_rt,
        "check",
        CSN_AUTH="dev",
        CSN_SECRET=SECRET,
        DATABASE_URL=database_url,
        REDIS_URL=redis_cluster.url,
    )
    assert ["environment ok", "PostgreSQL ok", "Redis ok"] == findings(ended)
    assert redis_cluster.password not in ended.out + ended.err


def test_check_looks_at_every_part_whatever_is_wrong_with_the_others(csn_rt):
    ended = csn_rt("check", CSN_NO_SUCH="1", **AWAY)
    assert ["environment FAILED", "PostgreSQL FAILED", "Redis FAILED"] == findings(ended)
    assert 1 == ended.status


def test_check_tells_of_migrations_that_are_missing(csn_rt, empty_database_url):
    ended = csn_rt("check", DATABASE_URL=empty_database_url)
    assert "run `csn-rt migrate`" in ended.out


def test_check_lists_every_setting_and_shows_no_secret(csn_rt):
    ended = csn_rt("check", CSN_SECRET=f"hunter2{SECRET}", **AWAY)
    assert all(name in ended.out for name in ("CSN_DRAIN_S", "DATABASE_URL", "UPLOADTHING_TOKEN"))
    assert "hunter2" not in ended.out + ended.err


@pytest.mark.parametrize("command", ["demo", "serve --embedded"])
def test_without_the_extra_it_is_told_what_to_install(command):
    program = "import sys; sys.modules['psutil'] = None; from csn_rt.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        env={"PATH": os.environ["PATH"], "CSN_AUTH": "dev"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 1 == ended.returncode, "rule 1"
    assert ["The embedded servers are not installed (psutil is missing): pip install 'csn_rt[embedded]'"] == (
        ended.stderr.splitlines()
    ), "rule 1"


class Background:
    """A command that goes on until it is told to stop, as a process."""

    def __init__(self, log, environment, *arguments):
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "csn_rt", *arguments],
                env={"PATH": os.environ["PATH"], **environment},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )

    def wait_for(self, event):
        """Until it has logged that."""
        deadline = time.monotonic() + 30
        while event not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


COMMANDS = {"serve": (["serve"], "node_serving"), "worker": (["worker"], "worker_started")}


@pytest.fixture
def start(database_url, redis_url, tmp_path):
    running = []
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "CSN_AUTH": "dev",
        "CSN_SECRET": SECRET,
        "CSN_DRAIN_S": "0",
        "PORT": str(free_port()),
    }

    def start(command, *options):
        arguments, event = COMMANDS[command]
        running.append(Background(tmp_path / f"{len(running)}.log", environment, *arguments, *options))
        running[-1].wait_for(event)
        return running[-1]

    yield start
    for each in running:
        each.process.kill()
        each.process.stdin.close()
        each.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_a_command_cleanly(start, command, number):
    running = start(command)
    running.process.send_signal(number)
    assert 0 == running.process.wait(20), "rule 2"
    assert "Traceback" not in running.log.read_text(), "rule 1"


@pytest.mark.parametrize("command", COMMANDS)
def test_with_until_eof_the_end_of_standard_input_ends_a_command(start, command):
    running = start(command, "--until-eof")
    running.process.stdin.close()
    assert 0 == running.process.wait(20), "rule 2"


def test_without_it_a_command_does_not_care_about_standard_input(start):
    running = start("worker")
    running.process.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        running.process.wait(0.5)


def test_a_port_in_use_is_told_in_a_sentence(csn_rt, database_url, redis_url):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        ended = csn_rt("serve", "--port", port, CSN_AUTH="dev", CSN_SECRET=SECRET, **environment)
    assert (1, f"127.0.0.1 port {port} cannot be listened on: Address already in use.\n") == (
        ended.status,
        ended.err,
    ), "rule 1"


def findings(ended):
    """The last three lines' first two words; the indented ones go on with a sentence."""
    parts = ("environment", "PostgreSQL", "Redis")
    return [" ".join(line.split()[:2]) for line in ended.out.splitlines() if line.startswith(parts)]
