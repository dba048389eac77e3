"""What gets into the log, and what never does."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from csn_rt.telemetry.logs import REDACTED, configure_logs, redact
from tests.support.nodes import token

JWT = token("ann")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging as pytest had it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


class Lines:
    """Logs as JSON from `start` on; call it for what was written since."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def start(self) -> None:
        # In the test itself: pytest gives it another stderr than its fixtures.
        configure_logs(level="info", style="json")

    def __call__(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._capsys.readouterr().err.splitlines()]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return Lines(capsys)


def test_a_line_is_json_with_level_logger_and_time(lines: Lines):
    lines.start()
    structlog.get_logger("csn_rt.some").info("peer_closed", code=4001, name="Ann")

    (line,) = lines()
    assert ("peer_closed", "info", "csn_rt.some") == (line["event"], line["level"], line["logger"])
    assert (4001, "Ann") == (line["code"], line["name"])
    assert line["at"].endswith("Z")


def test_nothing_is_written_to_stdout(lines: Lines, capsys: pytest.CaptureFixture[str]):
    lines.start()
    structlog.get_logger().info("peer_closed")

    assert "" == capsys.readouterr().out


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "anything"])
def test_libraries_log_in_the_same_form(lines: Lines, name: str):
    lines.start()
    logging.getLogger(name).warning("%s left after %d s", "somebody", 3)

    (line,) = lines()
    assert ("somebody left after 3 s", "warning", name) == (line["event"], line["level"], line["logger"])


def test_a_librarys_own_handlers_do_not_write_it_twice(capsys: pytest.CaptureFixture[str]):
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(sys.stderr))
    configure_logs(level="info", style="json")

    logging.getLogger("uvicorn").info("once")

    assert 1 == len(capsys.readouterr().err.splitlines())


@pytest.mark.parametrize(("level", "written"), [("debug", 2), ("info", 1), ("error", 0)])
def test_what_is_below_the_level_is_not_written(level: str, written: int, capsys):
    configure_logs(level=level, style="json")

    structlog.get_logger().info("ours")
    logging.getLogger("theirs").debug("theirs")

    assert written == len(capsys.readouterr().err.splitlines())


def test_a_traceback_is_a_field_without_secrets(lines: Lines):
    lines.start()
    try:
        int(f"seven {JWT}")
    except ValueError:
        structlog.get_logger().exception("operation_failed")

    (line,) = lines()
    assert "Traceback" in line["exception"]
    assert "ValueError: invalid literal" in line["exception"]
    assert JWT not in json.dumps(line)


def test_what_is_bound_to_the_request_is_in_each_of_its_lines(lines: Lines):
    lines.start()
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger().info("one")
        logging.getLogger("uvicorn.error").warning("two")

    assert ["r-1", "r-1"] == [line["request_id"] for line in lines()]


def test_the_console_form_is_for_people(capsys: pytest.CaptureFixture[str]):
    configure_logs(level="info", style="console")

    structlog.get_logger().info("peer_closed", code=4001, token=JWT)

    text = capsys.readouterr().err
    assert "peer_closed" in text
    assert "code=4001" in text
    assert JWT not in text


async def test_an_exception_nobody_waited_for_is_logged_in_the_same_form(lines: Lines):
    lines.start()

    async def fails() -> None:
        raise ValueError("nobody looks")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    del task
    await asyncio.sleep(0)

    (line,) = lines()
    assert "asyncio" == line["logger"]
    assert "ValueError: nobody looks" in line["exception"]


def redacted(**facts: Any) -> dict[str, Any]:
    return dict(redact(None, "info", {"event": "something", **facts}))


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "access_token",
        "anonymousToken",
        "secret",
        "CSN_SECRET",
        "Authorization",
        "password",
        "cookie",
        "posthog_api_key",
    ],
)
@pytest.mark.parametrize("value", ["opensesame", 5, ["opensesame"], None])
def test_the_value_of_a_telling_name_is_hidden_at_any_depth(name: str, value: Any):
    assert REDACTED == redacted(**{name: value})[name]
    assert {"headers": [{name: REDACTED, "host": "x"}]} == {
        "headers": redacted(headers=[{name: value, "host": "x"}])["headers"]
    }


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"got {JWT}, no good", f"got {REDACTED}, no good"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {REDACTED}"),
        ("basic YW5uOnNlY3JldA==", f"basic {REDACTED}"),
        ("redis://user:pass@host:1/0", f"redis://{REDACTED}@host:1/0"),
        ("postgresql://:pass@host/db?sslmode=off", f"postgresql://{REDACTED}@host/db"),
        ("GET /v1/content.list?kind=live&token=x HTTP/1.1", "GET /v1/content.list HTTP/1.1"),
        (
            '"WebSocket /connection/websocket?token=x" [accepted]',
            '"WebSocket /connection/websocket" [accepted]',
        ),
        ("https://host/a?b=c https://host/d", "https://host/a https://host/d"),
        ("GET /?" + JWT, "GET /"),
        ("Really? Yes, 50/50? No.", "Really? Yes, 50/50? No."),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_in_texts_are_hidden_and_query_strings_dropped(text: str, clean: str):
    assert clean == redacted(detail=text)["detail"]
    assert clean == redact(None, "info", {"event": text})["event"]


def test_what_is_no_plain_value_is_told_by_its_repr_without_secrets():
    class Thing:
        def __repr__(self) -> str:
            return f"Thing({JWT})"

    assert f"Thing({REDACTED})" == redacted(thing=Thing())["thing"]
    assert f"ValueError('{REDACTED}')" == redacted(error=ValueError(JWT))["error"]


def test_numbers_stay_numbers():
    assert {"event": "something", "a": 1, "b": 1.5, "c": True, "d": None} == redacted(
        a=1, b=1.5, c=True, d=None
    )


@pytest.mark.timeout(10)
def test_redaction_takes_linear_time():
    for part in ("a.", "a.b/", "?", "?a", "Bearer ", "Bearer", "a://", "a:", "-eyJ", "eyJa.", " ", "/"):
        redacted(detail=part * 100_000)


def test_a_socket_that_comes_or_goes_is_not_worth_a_line(lines: Lines):
    lines.start()
    logging.getLogger("uvicorn.error").info("connection open")

    assert lines() == []


def test_a_pool_that_cannot_connect_does_not_fill_the_log(lines: Lines):
    lines.start()
    logging.getLogger("asyncpg.pool").warning("Failed to restore the pool connection floor; retrying")

    assert [] == lines()
