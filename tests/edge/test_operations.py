"""The table of operations: what each must have, who may call it, and that no parameters break it."""

import inspect
import json
import re
from typing import Any

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from csn_rt.edge.auth import Verifier
from csn_rt.edge.dispatch import Dispatcher
from csn_rt.edge.docs import refusals_of
from csn_rt.edge.operations import OPERATIONS, Operation
from csn_rt.features.context import Caller
from csn_rt.wire.roles import Role
from csn_rt.wire.types import Params
from tests.support.league import make_stream
from tests.support.nodes import SECRET, RunningNode, token
from tests.support.operations import http_client
from tests.support.samples import Samples

ALL = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


async def call(
    client: httpx.AsyncClient, operation: Operation, params: dict[str, Any], bearer: str | None
) -> httpx.Response:
    headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
    if operation.kind == "mutation":
        return await client.post(f"/v1/{operation.name}", content=json.dumps(params), headers=headers)
    query = {
        name: ",".join(map(str, value)) if isinstance(value, list) else value
        for name, value in params.items()
        if value is not None
    }
    return await client.get(f"/v1/{operation.name}", params=query, headers=headers)


def expected_refusal(operation: Operation, role: Role | None) -> int | None:
    if operation.least is None:
        return None
    if role is None:
        is_public = operation.kind == "query" and operation.least is Role.ANONYMOUS
        return None if is_public and not operation.is_personal else 401
    return None if role.is_at_least(operation.least) else 403


@ALL
@pytest.mark.parametrize("role", [None, *Role])
async def test_an_operation_is_refused_to_every_lesser_role_and_to_no_other(
    operation: Operation, role: Role | None
):
    """There are no features here: who gets past the door finds nobody to serve him, which is no refusal."""
    verifier = Verifier(SECRET)
    match role:
        case None:
            bearer = None
        case Role.ANONYMOUS:
            bearer = verifier.issue_anonymous()[1]
        case _:
            bearer = token("ann", role)

    with capture_logs():
        async with http_client(dispatcher=Dispatcher([], OPERATIONS), verifier=verifier) as client:
            status = (await call(client, operation, {}, bearer)).status_code

    if (refusal := expected_refusal(operation, role)) is not None:
        assert refusal == status
    else:
        assert status not in (401, 403)


LEAST = {
    "auth.anonymous": None,
    "auth.whoami": Role.ANONYMOUS,
    "session.": Role.ANONYMOUS,
    "viewers.get": Role.ANONYMOUS,
    "viewers.series": Role.MODERATOR,
    "stream.": Role.ADMIN,
    "chat.send": Role.USER,
    "chat.history": Role.ANONYMOUS,
    "chat.retract": Role.USER,
    "progress.": Role.USER,
    "content.": Role.ANONYMOUS,
}
QUERIES = {
    "auth.whoami",
    "viewers.get",
    "viewers.series",
    "chat.history",
    "progress.get",
    "progress.continue_watching",
    "progress.history",
    "content.get",
    "content.list",
}


@ALL
def test_least_role_and_kind_are_those_of_the_contract(operation: Operation):
    least = [role for name, role in LEAST.items() if operation.name.startswith(name)]

    assert [operation.least] == least
    assert (operation.name in QUERIES) == (operation.kind == "query")


@ALL
def test_a_name_is_an_area_and_a_verb_and_the_key_of_the_table(operation: Operation):
    assert re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", operation.name)
    assert operation is OPERATIONS[operation.name]


@ALL
def test_an_operation_says_what_it_does_in_one_sentence(operation: Operation):
    assert re.fullmatch(r"[A-Z][^\n]{10,100}\.", operation.summary)


@ALL
def test_params_and_result_are_types_of_the_wire(operation: Operation):
    assert issubclass(operation.params, Params)
    assert operation.params.__struct_config__.forbid_unknown_fields
    assert issubclass(operation.result, msgspec.Struct)
    for struct in (operation.params, operation.result):
        assert struct.__module__.startswith("csn_rt.wire.")


@ALL
def test_a_handler_is_a_coroutine_of_its_feature_that_takes_a_caller(operation: Operation):
    hints = inspect.get_annotations(operation.handler)

    assert inspect.iscoroutinefunction(operation.handler)
    assert operation.handler is getattr(operation.feature, operation.handler.__name__)
    assert hints["caller"] == (Caller if operation.least is not None else Caller | None)


async def test_no_parameters_break_an_operation(db, node: RunningNode):
    """Whatever fits the types is done, or refused in a documented way: with texts and numbers that hurt."""
    stream_id = await make_stream(db)
    surprises = []
    async with httpx.AsyncClient(base_url=node.url) as client:
        for operation in OPERATIONS.values():
            for seed in range(12):
                params = Samples(seed).params(operation.params)
                if seed % 3:  # most of what is random does not exist
                    known = {"stream_id": stream_id, "content_id": stream_id}
                    params |= {name: value for name, value in known.items() if name in params}
                answer = await call(client, operation, params, token("root", Role.ADMIN))
                if answer.status_code != 200 and answer.json()["error"]["code"] not in documented(operation):
                    surprises.append((operation.name, params, answer.text))

    assert [] == surprises


def documented(operation: Operation) -> set[str]:
    """The codes that a good call may be refused with while everything behind us works."""
    return {"bad_request", *(refusal.code for refusal in refusals_of(operation))}
