"""The command line, called as an operator would. Rule numbers are those of csn_rt/cli.py."""

import logging
import os
import sys

import jwt
import pytest
import structlog

from csn_rt.cli import main
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


@pytest.mark.parametrize("command", [["serve"], ["migrate"], ["migrate", "--status"]])
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


def findings(ended):
    """The last three lines' first two words; the indented ones go on with a sentence."""
    parts = ("environment", "PostgreSQL", "Redis")
    return [" ".join(line.split()[:2]) for line in ended.out.splitlines() if line.startswith(parts)]
