"""The operations over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from csn_rt.edge import http
from csn_rt.edge.auth import Verifier, issue_dev_token
from csn_rt.edge.dispatch import Dispatcher
from csn_rt.wire.roles import Role
from tests.support.nodes import SECRET, token
from tests.support.operations import TABLE, Shop, http_client


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with http_client() as client:
        yield client


def bearer(role: Role = Role.USER) -> dict[str, str]:
    return {"authorization": f"Bearer {token('ann', role)}"}


async def save(client: httpx.AsyncClient, **options: Any) -> httpx.Response:
    return await client.post("/v1/thing.save", **{"json": {"name": "ball"}, "headers": bearer(), **options})


async def fail(client: httpx.AsyncClient, how: str) -> httpx.Response:
    return await client.post("/v1/thing.fail", json={"name": how}, headers=bearer())


async def test_a_mutation_is_a_post_with_json(client: httpx.AsyncClient):
    answer = await save(client, json={"name": "ball", "age_ms": 3})

    assert 200 == answer.status_code
    assert "application/json" == answer.headers["content-type"]
    assert ("ann", "user", "http") == tuple(answer.json()[key] for key in ("user_id", "role", "via"))
    assert {"name": "ball", "age_ms": 3} == answer.json()["params"]


async def test_a_query_is_a_get_with_a_query_string(client: httpx.AsyncClient):
    answer = await client.get(
        "/v1/thing.list?names=a,b&names=c&numbers=1,2&limit=7&is_new=true&after=2026-05-01T12:00:00Z"
    )

    assert 200 == answer.status_code
    assert {
        "names": ["a", "b", "c"],
        "numbers": [1, 2],
        "after": "2026-05-01T12:00:00Z",
        "limit": 7,
        "is_new": True,
    } == answer.json()["params"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "names"),
        ("names=a&limit=0", "limit"),
        ("names=a&limit=many", "limit"),
        ("names=a&limit=1&limit=2", "limit"),
        ("names=a&numbers=1,x", "numbers"),
        ("names=a&numbers=1,2,3,4", "numbers"),
        ("names=a&is_new=perhaps", "is_new"),
        ("names=a&after=yesterday", "after"),
        ("names=a&colour=red", "colour"),
        ("names=a&names[]=b", "names[]"),
    ],
)
async def test_a_query_that_is_wrong_is_refused_with_the_parameter(
    client: httpx.AsyncClient, query: str, named: str
):
    answer = await client.get(f"/v1/thing.list?{query}")

    assert (400, "bad_request") == (answer.status_code, answer.json()["error"]["code"])
    assert named in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\xfe", b'{"name":5}', b'{"name":"ball","x":1}', b'{"name":"ball"} {}']
)
async def test_a_body_that_is_wrong_is_refused(client: httpx.AsyncClient, body: bytes):
    answer = await save(client, json=None, content=body)

    assert (400, "bad_request") == (answer.status_code, answer.json()["error"]["code"])


async def test_an_operation_without_params_needs_no_body(client: httpx.AsyncClient):
    assert 200 == (await client.post("/v1/thing.open")).status_code


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/octet-stream", "", "json"])
async def test_a_beacon_works_whatever_its_content_type(client: httpx.AsyncClient, content_type: str):
    answer = await save(
        client, json=None, content=b'{"name":"ball"}', headers={**bearer(), "content-type": content_type}
    )

    assert 200 == answer.status_code


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
async def test_a_mutation_by_another_verb_is_not_allowed(client: httpx.AsyncClient, verb: str):
    answer = await client.request(verb, "/v1/thing.save", headers=bearer())

    assert (405, "POST") == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_a_query_by_another_verb_is_not_allowed(client: httpx.AsyncClient, verb: str):
    answer = await client.request(verb, "/v1/thing.list?names=a")

    assert (405, "GET, HEAD") == (answer.status_code, answer.headers["allow"])
    assert "method_not_allowed" == answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "path", ["/v1/thing.steal", "/v1/", "/v1", "/v1/thing.list/", "/v1/a/b", "/nowhere", "/v1/%00"]
)
async def test_what_does_not_exist_is_not_found(client: httpx.AsyncClient, path: str):
    answer = await client.get(path)

    assert (404, "not_found") == (answer.status_code, answer.json()["error"]["code"])


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer junk",
        "Basic YW5uOnNlY3JldA==",
        f"Token {issue_dev_token(SECRET, 'ann')}",
        issue_dev_token(SECRET, "ann"),
        f"Bearer {issue_dev_token('another secret of the same length', 'ann')}",
    ],
)
@pytest.mark.parametrize("path", ["thing.save", "thing.open"])
async def test_a_token_that_is_not_good_is_unauthorized_even_where_none_is_needed(
    client: httpx.AsyncClient, path: str, authorization: str
):
    answer = await client.post(f"/v1/{path}", json={"name": "ball"}, headers={"authorization": authorization})

    assert (401, "unauthorized") == (answer.status_code, answer.json()["error"]["code"])
    assert "Bearer" == answer.headers["www-authenticate"]


async def test_an_expired_token_says_so(client: httpx.AsyncClient):
    expired = issue_dev_token(SECRET, "ann", ttl_s=-60)

    answer = await save(client, headers={"authorization": f"Bearer {expired}"})

    assert (401, "token_expired") == (answer.status_code, answer.json()["error"]["code"])


async def test_the_scheme_is_read_in_any_case(client: httpx.AsyncClient):
    assert 200 == (await save(client, headers={"authorization": f"bEARER {token('ann')}"})).status_code


async def test_without_a_token_a_query_for_everyone_is_open(client: httpx.AsyncClient):
    first, second = [(await client.get("/v1/thing.list?names=a")).json() for _ in range(2)]

    assert ("anonymous", "anonymous") == (first["role"], second["role"])
    assert first["user_id"] != second["user_id"]


@pytest.mark.parametrize("name", ["thing.save", "thing.start"])
async def test_without_a_token_nothing_is_done_in_anybodys_name(client: httpx.AsyncClient, name: str):
    answer = await client.post(f"/v1/{name}", json={"name": "ball"})

    assert 401 == answer.status_code


async def test_an_anonymous_token_is_good_for_what_the_anonymous_may(client: httpx.AsyncClient):
    identity, anonymous_token = Verifier(SECRET).issue_anonymous()
    headers = {"authorization": f"Bearer {anonymous_token}"}

    may = await client.post("/v1/thing.start", json={"name": "ball"}, headers=headers)
    may_not = await client.post("/v1/thing.save", json={"name": "ball"}, headers=headers)

    assert (200, identity.user_id) == (may.status_code, may.json()["user_id"])
    assert (403, "forbidden") == (may_not.status_code, may_not.json()["error"]["code"])


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_body_that_is_too_large_is_refused(client: httpx.AsyncClient, is_told: bool):
    large = b'{"name":"' + b"x" * (256 * 1024) + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(large), 10_000):
            yield large[at : at + 10_000]

    answer = await save(client, json=None, content=large if is_told else chunks())

    assert (413, "too_large") == (answer.status_code, answer.json()["error"]["code"])


async def test_a_body_that_says_it_is_too_large_is_not_read(client: httpx.AsyncClient):
    async def chunks() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    answer = await save(
        client, json=None, content=chunks(), headers={**bearer(), "content-length": "1000000000"}
    )

    assert 413 == answer.status_code


async def test_the_largest_body_is_read(client: httpx.AsyncClient):
    body = b'{"name":"ball"}'.ljust(256 * 1024)

    assert 200 == (await save(client, json=None, content=body)).status_code


async def test_a_body_that_does_not_come_is_given_up(client: httpx.AsyncClient, monkeypatch):
    monkeypatch.setattr(http, "BODY_TIMEOUT_S", 0.05)

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"name":'
        await asyncio.sleep(5)

    began = time.monotonic()
    answer = await save(client, json=None, content=chunks())

    assert (408, "too_slow") == (answer.status_code, answer.json()["error"]["code"])
    assert time.monotonic() - began < 2


async def test_a_client_that_goes_away_is_nobodys_error():
    shop = Shop()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/thing.save",
        "query_string": b"",
        "headers": [(b"authorization", bearer()["authorization"].encode())],
        "path_params": {"operation": "thing.save"},
    }
    answer = http.Operations(Dispatcher([shop], TABLE), Verifier(SECRET)).answer

    with capture_logs() as logs:
        await http.Endpoint(answer)(scope, receive, send)

    assert ([], [], []) == (sent, shop.saved, logs)


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ("missing", 404, {"code": "not_found", "message": "no such thing"}),
        (
            "taken",
            409,
            {"code": "already_taken", "message": "somebody was faster", "by": "bob", "version": 3},
        ),
        ("hurried", 429, {"code": "too_many_requests", "message": "too fast", "retry_after_ms": 1_500}),
        ("away", 503, {"code": "unavailable", "message": "the database does not answer; try again"}),
    ],
)
async def test_a_failure_is_an_error_object_with_its_status(
    client: httpx.AsyncClient, how: str, status: int, error: dict[str, Any]
):
    answer = await fail(client, how)

    assert (status, {"error": error}) == (answer.status_code, answer.json())


@pytest.mark.parametrize(("how", "seconds"), [("hurried", "2"), ("away", "1"), ("missing", None)])
async def test_who_may_try_again_is_told_when(client: httpx.AsyncClient, how: str, seconds: str | None):
    assert seconds == (await fail(client, how)).headers.get("retry-after")


async def test_nothing_of_a_bug_is_told_but_the_requests_id(client: httpx.AsyncClient):
    with capture_logs() as logs:
        answer = await fail(client, "bug")

    error = answer.json()["error"]
    assert (500, "internal") == (answer.status_code, error["code"])
    assert {"code", "message", "request_id"} == set(error)
    assert answer.headers["x-request-id"] == error["request_id"]
    assert not any(word in answer.text for word in ("SELECT", "passwd", "Traceback", "ValueError", ".py"))
    assert ["operation_failed"] == [line["event"] for line in logs]


async def test_a_bug_in_http_itself_is_answered_in_the_same_way():
    async def broken(*_args: object) -> http.Response:
        raise ValueError("SELECT")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with capture_logs() as logs:
        await http.Endpoint(broken)({"type": "http", "method": "GET", "headers": []}, None, send)

    assert 500 == sent[0]["status"]
    assert b"SELECT" not in sent[1]["body"]
    assert [("request_failed", "error")] == [(line["event"], line["log_level"]) for line in logs]


@pytest.mark.parametrize("given", ["abc-123", "A.b_c:d", "x" * 64])
async def test_a_decent_request_id_is_kept(client: httpx.AsyncClient, given: str):
    answer = await save(client, headers={**bearer(), "x-request-id": given})

    assert given == answer.headers["x-request-id"]
    assert given == answer.json()["request_id"]


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "<script>", "a\x7f"])
async def test_any_other_request_gets_an_id(client: httpx.AsyncClient, given: str | None):
    headers = bearer() if given is None else {**bearer(), "x-request-id": given}

    answer = await save(client, headers=headers)

    assert 36 == len(answer.headers["x-request-id"])
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/v1/thing.list?names=a", "/v1/no", "/no"])
async def test_every_answer_keeps_browsers_from_guessing_framing_and_caching(
    client: httpx.AsyncClient, path: str
):
    headers = (await client.get(path)).headers

    assert "nosniff" == headers["x-content-type-options"]
    assert "no-referrer" == headers["referrer-policy"]
    assert "no-store" == headers["cache-control"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-request-id"]


async def test_a_long_user_agent_is_cut(client: httpx.AsyncClient):
    answer = await save(client, headers={**bearer(), "user-agent": "x" * 5000})

    assert "x" * 500 == answer.json()["user_agent"]


ORIGIN = "https://player.test"


async def test_an_allowed_origin_may_read_the_answer_and_its_errors():
    async with http_client(origins=[ORIGIN]) as client:
        done = await save(client, headers={**bearer(), "origin": ORIGIN})
        refused = await save(client, headers={"origin": ORIGIN})

    assert (200, 401) == (done.status_code, refused.status_code)
    for answer in (done, refused):
        assert ORIGIN == answer.headers["access-control-allow-origin"]
        assert "access-control-allow-credentials" not in answer.headers
        assert "retry-after" in answer.headers["access-control-expose-headers"].lower()


async def preflight(client: httpx.AsyncClient, origin: str) -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-request-id",
    }
    return await client.options("/v1/thing.save", headers=headers)


async def test_an_allowed_origin_may_send_a_token():
    async with http_client(origins=[ORIGIN]) as client:
        answer = await preflight(client, ORIGIN)

    assert (200, ORIGIN) == (answer.status_code, answer.headers["access-control-allow-origin"])
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "POST" in answer.headers["access-control-allow-methods"]


async def test_every_origin_may_if_a_star_is_allowed():
    async with http_client(origins=["*"]) as client:
        answer = await preflight(client, "https://anyone.test")

    assert 200 == answer.status_code
    assert answer.headers["access-control-allow-origin"] in ("*", "https://anyone.test")


@pytest.mark.parametrize("origins", [[], [ORIGIN]])
@pytest.mark.parametrize("origin", ["https://evil.test", "null", ORIGIN + ".evil.test", "http://player.test"])
async def test_any_other_origin_may_not(origins: list[str], origin: str):
    async with http_client(origins=origins) as client:
        for answer in (
            await preflight(client, origin),
            await save(client, headers={**bearer(), "origin": origin}),
        ):
            assert "access-control-allow-origin" not in answer.headers


async def test_the_page_says_what_this_is_and_lists_every_operation(client: httpx.AsyncClient):
    answer = await client.get("/")

    assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    for text in ("csn_rt", "/connection/websocket", "/readyz", "chat.send", "docs/operations.md"):
        assert text in answer.text
    assert "<script" not in answer.text
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
async def test_what_is_only_read_answers_head_and_no_other_verb(client: httpx.AsyncClient, path: str):
    assert 200 == (await client.head(path)).status_code
    for verb in ("POST", "PUT", "DELETE"):
        answer = await client.request(verb, path)
        assert (405, "GET, HEAD") == (answer.status_code, answer.headers["allow"])
