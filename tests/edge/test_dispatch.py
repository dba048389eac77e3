"""From a name and some bytes to a handler and its answer."""

import json
import time

import pytest
from structlog.testing import capture_logs

from csn_rt.core.identity import Identity
from csn_rt.edge import dispatch
from csn_rt.edge.dispatch import Dispatcher, Failed, socket_error
from csn_rt.errors import BadRequest, Conflict, Forbidden, NotFound, TooMany, Unauthorized, Unavailable
from csn_rt.features.context import Caller
from csn_rt.telemetry.metrics import REGISTRY
from csn_rt.wire.protocol import Error
from csn_rt.wire.roles import Role
from tests.support.operations import TABLE, Shop


def caller(role: Role = Role.USER) -> Caller:
    return Caller(identity=Identity(user_id="ann", role=role))


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def call(shop):
    dispatcher = Dispatcher([shop], TABLE)

    async def call(name, params=b"{}", by=None):
        return json.loads(await dispatcher.call(dispatcher.find(name), by or caller(), params))

    return call


async def test_params_reach_the_handler_and_its_result_comes_back(call, shop: Shop):
    answer = await call("thing.save", b'{"name":"ball","age_ms":3}')

    assert {"name": "ball", "age_ms": 3} == answer["params"]
    assert ["ball"] == shop.saved


async def test_an_unknown_operation_is_not_found():
    assert Dispatcher([Shop()], TABLE).find("thing.steal") is None


async def test_every_feature_of_the_table_must_have_an_instance_to_be_called_on():
    dispatcher = Dispatcher([], TABLE)

    with capture_logs(), pytest.raises(Failed):
        await dispatcher.call(TABLE["thing.save"], caller(), b'{"name":"ball"}')


@pytest.mark.parametrize(
    ("params", "named"),
    [
        (b"{", "truncated"),
        (b"[]", "object"),
        (b"null", "object"),
        (b"\xff", "malformed"),
        (b"{}", "name"),
        (b'{"name":7}', "$.name"),
        (b'{"name":"a name that is too long"}', "$.name"),
        (b'{"name":"ball","age_ms":"old"}', "$.age_ms"),
        (b'{"name":"ball","age_ms":1.5}', "$.age_ms"),
        (b'{"name":"ball","colour":"red"}', "colour"),
        (b'{"name":"\\ud800"}', ""),
        (b'{"name":' + b"[" * 100_000, "$.name"),
        (b'{"colour":' + b"[" * 100_000, "colour"),
    ],
)
async def test_params_that_are_wrong_are_refused_with_the_field(call, shop: Shop, params: bytes, named: str):
    with pytest.raises(BadRequest) as refused:
        await call("thing.save", params)

    assert named in refused.value.message
    assert [] == shop.saved


@pytest.mark.parametrize("name", [name for name, operation in TABLE.items() if operation.least is not None])
@pytest.mark.parametrize("role", Role)
async def test_nobody_gets_past_the_least_role(call, name: str, role: Role):
    least = TABLE[name].least
    assert least is not None
    if role.is_at_least(least):
        return

    with pytest.raises(Forbidden) as refused:
        await call(name, by=caller(role))

    assert least in refused.value.message


async def test_the_role_is_looked_at_before_the_params(call):
    with pytest.raises(Forbidden):
        await call("thing.inspect", b"junk", by=caller(Role.USER))


async def test_without_an_identity_only_what_needs_none_is_done():
    dispatcher = Dispatcher([Shop()], TABLE)

    assert b"{}" == await dispatcher.call(TABLE["thing.open"], None, b"")
    with pytest.raises(Unauthorized):
        await dispatcher.call(TABLE["thing.start"], None, b'{"name":"ball"}')


async def test_a_handler_that_takes_too_long_is_unavailable(call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dispatch, "OPERATION_TIMEOUT_S", 0.01)

    began = time.monotonic()
    with capture_logs() as logs, pytest.raises(Unavailable):
        await call("thing.fail", b'{"name":"slow"}')

    assert time.monotonic() - began < 1
    assert ["operation_timed_out"] == [line["event"] for line in logs]


def test_a_call_ends_before_an_sdk_gives_up():
    assert dispatch.OPERATION_TIMEOUT_S < 5


async def test_a_bug_is_logged_once_with_its_traceback(call):
    with capture_logs() as logs, pytest.raises(Failed) as failed:
        await call("thing.fail", b'{"name":"bug"}')

    assert "SELECT" not in str(failed.value)
    assert [("operation_failed", "error", "thing.fail")] == [
        (line["event"], line["log_level"], line["operation"]) for line in logs
    ]
    assert logs[0]["exc_info"]


@pytest.mark.parametrize("name", ["missing", "taken", "hurried", "away"])
async def test_what_is_refused_on_purpose_is_not_logged(call, name: str):
    with capture_logs() as logs, pytest.raises((NotFound, Conflict, TooMany, Unavailable)):
        await call("thing.fail", b'{"name":"%s"}' % name.encode())

    assert [] == logs


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("missing", "not_found"), ("taken", "already_taken"), ("away", "unavailable"), ("bug", "failed")],
)
async def test_outcomes_are_counted_by_operation(call, name: str, outcome: str):
    labels = {"operation": "thing.fail", "outcome": outcome}
    before = REGISTRY.get_sample_value("csn_operations_total", labels) or 0

    with capture_logs(), pytest.raises(Exception):  # noqa: B017  every kind of them
        await call("thing.fail", b'{"name":"%s"}' % name.encode())

    assert before + 1 == REGISTRY.get_sample_value("csn_operations_total", labels)


async def test_done_calls_are_counted_and_timed(call):
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"operation": "thing.save", **labels}) or 0

    counted = value("csn_operations_total", outcome="done")
    timed = value("csn_operation_duration_seconds_count")

    await call("thing.save", b'{"name":"ball"}')

    assert counted + 1 == value("csn_operations_total", outcome="done")
    assert timed + 1 == value("csn_operation_duration_seconds_count")


@pytest.mark.parametrize(
    ("exc", "error"),
    [
        (BadRequest("no"), Error(400, "bad_request: no")),
        (Unauthorized("no"), Error(401, "unauthorized: no")),
        (Forbidden("no"), Error(403, "forbidden: no")),
        (NotFound("no such stream"), Error(404, "not_found: no such stream")),
        (Conflict("no", code="already_live"), Error(409, "already_live: no")),
        (TooMany("no"), Error(429, "too_many_requests: no")),
        (Unavailable("away"), Error(100, "unavailable: away", temporary=True)),
        (Failed("chat.send"), Error(100, "internal server error", temporary=True)),
    ],
)
def test_over_the_socket_a_failure_is_its_status_and_a_message_that_begins_with_its_code(exc, error):
    assert error == socket_error(exc)
