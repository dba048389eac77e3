"""The audit log against real PostgreSQL. Rule numbers are those of csn_rt/features/audit.py."""

import json

import asyncpg
import pytest

from csn_rt.core.identity import Identity
from csn_rt.features import audit
from csn_rt.features.context import Caller, Context, new_id
from csn_rt.wire.roles import Role

ADMIN = Caller(
    identity=Identity(user_id="ada", role=Role.ADMIN, name="Ada"),
    via="http",
    request_id="r-1",
    ip="203.0.113.9",
    user_agent="a browser",
)


@pytest.fixture
def ctx(db):
    return Context(db, lambda _: None)


async def entries(db):
    async with db.connection() as connection:
        return await connection.fetch("SELECT * FROM content_audit_log ORDER BY id")


async def record(ctx, caller=ADMIN, **entry):
    async with ctx.unit() as unit:
        await audit.record(
            unit, caller, **{"action": "team.save", "entity": "team", "entity_id": "t-1", **entry}
        )


async def test_an_entry_says_who_did_what_and_from_where(ctx, db):
    await record(ctx, reason="moved", before={"city": "Aa", "version": 1}, after={"city": "Bb", "version": 2})
    [entry] = await entries(db)
    expected = {
        "actor_type": "user",
        "actor_id": "ada",
        "actor_name": "Ada",
        "action": "team.save",
        "entity": "team",
        "entity_id": "t-1",
        "version": 2,
        "reason": "moved",
        "request_id": "r-1",
        "ip": "203.0.113.9",
        "user_agent": "a browser",
        "via": "http",
    }
    assert expected == {name: entry[name] for name in expected}


async def test_an_entry_holds_only_the_fields_that_changed(ctx, db):
    await record(
        ctx, before={"name": "Gulls", "city": "Aa", "logo": None}, after={"name": "Gulls", "city": "Bb"}
    )
    [entry] = await entries(db)
    assert ["city"] == entry["changed"], "rule 2"
    assert ({"city": "Aa"}, {"city": "Bb"}) == (json.loads(entry["before"]), json.loads(entry["after"])), (
        "rule 2"
    )


async def test_a_creation_has_no_before_and_a_removal_no_after(ctx, db):
    await record(ctx, after={"name": "Gulls", "city": None})
    await record(ctx, before={"name": "Gulls", "city": None})
    made, gone = await entries(db)
    assert (None, {"name": "Gulls"}) == (made["before"], json.loads(made["after"]))
    assert ({"name": "Gulls"}, None) == (json.loads(gone["before"]), gone["after"])


async def test_an_empty_edit_leaves_no_entry(ctx, db):
    fields = {"name": "Gulls", "version": 1, "updated_at": "then", "updated_by": "bob"}
    await record(ctx, before=fields, after={**fields, "version": 2, "updated_at": "now", "updated_by": "ada"})
    assert [] == await entries(db), "rule 3"


async def test_a_deed_without_fields_is_still_a_deed(ctx, db):
    await record(ctx, action="chat.clear")
    [entry] = await entries(db)
    assert ([], None, None) == (entry["changed"], entry["before"], entry["after"])


async def test_a_rolled_back_deed_leaves_no_entry(ctx, db):
    async def fail():
        async with ctx.unit() as unit:
            await audit.record(
                unit, ADMIN, action="team.save", entity="team", entity_id="t", after={"name": "x"}
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert [] == await entries(db), "rule 1"


async def test_a_secret_is_never_written(ctx, db):
    await record(ctx, before={"upload_token": "old-hunter2"}, after={"upload_token": "new-hunter2"})
    [entry] = await entries(db)
    assert ["upload_token"] == entry["changed"]
    assert "hunter2" not in entry["before"] + entry["after"], "rule 4"


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (Caller(identity=Identity(user_id="a1", role=Role.ANONYMOUS), via="websocket"), "anonymous"),
        (Caller(identity=Identity(user_id="worker", role=Role.ADMIN), via="internal"), "system"),
    ],
)
async def test_the_actor_s_type_is_told(ctx, db, caller, expected):
    await record(ctx, caller, after={"name": "x"})
    [entry] = await entries(db)
    assert expected == entry["actor_type"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE content_audit_log SET reason = 'none'",
        "DELETE FROM content_audit_log",
        "TRUNCATE content_audit_log",
    ],
)
async def test_no_one_alters_or_removes_an_entry(ctx, db, statement):
    await record(ctx, after={"name": "x"}, entity_id=new_id())
    async with db.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(statement)
    assert 1 == len(await entries(db))
