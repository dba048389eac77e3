"""What operators and their machines ask."""

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from csn_rt.edge import health
from tests.support.operations import http_client, ready


async def test_a_process_that_answers_lives():
    async with http_client() as client:
        answer = await client.get("/healthz")

    assert (200, {"status": "alive"}) == (answer.status_code, answer.json())


async def test_a_node_is_ready_when_every_check_is_passed():
    async with http_client(readiness={"database": ready, "bus": ready}) as client:
        answer = await client.get("/readyz")

    assert 200 == answer.status_code
    assert {"status": "ready", "checks": {"database": "ok", "bus": "ok"}} == answer.json()


async def not_ready() -> bool:
    return False


async def breaks() -> bool:
    raise OSError("postgresql://user:password@host does not answer")


async def hangs() -> bool:
    await asyncio.sleep(60)
    return True


@pytest.mark.parametrize(
    ("check", "outcome"), [(not_ready, "failed"), (breaks, "failed"), (hangs, "timed out")]
)
async def test_one_check_that_is_not_passed_makes_it_not_ready(
    check: health.Check, outcome: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.05)
    began = time.monotonic()
    with capture_logs():
        async with http_client(readiness={"database": check, "bus": ready}) as client:
            answer = await client.get("/readyz")

    assert time.monotonic() - began < 1

    assert 503 == answer.status_code
    assert {"status": "not ready", "checks": {"database": outcome, "bus": "ok"}} == answer.json()
    assert "password" not in answer.text


async def test_checks_run_side_by_side():
    async def takes_a_while() -> bool:
        await asyncio.sleep(0.2)
        return True

    began = time.monotonic()
    async with http_client(readiness=dict.fromkeys("abcdef", takes_a_while)) as client:
        await client.get("/readyz")

    assert time.monotonic() - began < 0.9


async def test_however_many_ask_the_checks_run_once():
    count = 0

    async def counted() -> bool:
        nonlocal count
        count += 1
        await asyncio.sleep(0.05)
        return True

    async with http_client(readiness={"database": counted}) as client:
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
        assert [200] * 20 == [answer.status_code for answer in answers]
        assert 1 == count

        await client.get("/readyz")
        assert 2 == count


async def test_metrics_are_readable_and_named_by_the_rules():
    async with http_client() as client:
        await client.get("/v1/thing.list?names=a")
        answer = await client.get("/metrics")

    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert "text/plain" in answer.headers["content-type"]
    for name in (
        "csn_connections",
        "csn_subscriptions",
        "csn_deliveries",
        "csn_gaps_repaired",
        "csn_operations",
        "csn_fan_out_latency_seconds",
        "csn_commit_latency_seconds",
        "csn_operation_duration_seconds",
        "process_resident_memory_bytes",
        "python_gc_collections",
    ):
        assert name in families
    assert all(name.startswith(("csn_", "process_", "python_")) for name in families)
