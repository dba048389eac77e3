"""What is counted, and how it is named."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from csn_rt.bus.base import BusStatistics
from csn_rt.telemetry import metrics


class FakeBus:
    is_up = True
    lag_s = 0.25

    def statistics(self) -> BusStatistics:
        return BusStatistics(published=5, dropped=4, received=3, malformed=2, reconnects=1)


@pytest.fixture
def watched():
    before = metrics._bus_collector.bus
    metrics.watch_bus(FakeBus())
    yield
    metrics.watch_bus(before)


def values() -> dict[str, float]:
    body, _ = metrics.render("")
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if not sample.labels
    }


def test_the_bus_is_read_when_the_metrics_are(watched):
    assert {
        "csn_bus_up": 1,
        "csn_bus_lag_seconds": 0.25,
        "csn_bus_publishes_total": 5,
        "csn_bus_drops_total": 4,
        "csn_bus_receipts_total": 3,
        "csn_bus_malformed_total": 2,
        "csn_bus_reconnects_total": 1,
    } == {name: value for name, value in values().items() if name.startswith("csn_bus_")}


def test_a_bus_without_a_first_canary_has_no_lag(watched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FakeBus, "lag_s", None)
    monkeypatch.setattr(FakeBus, "is_up", False)

    assert 0 == values()["csn_bus_up"]
    assert "csn_bus_lag_seconds" not in values()


def test_without_a_bus_nothing_is_told_of_it(watched):
    metrics.watch_bus(None)

    assert not any(name.startswith("csn_bus_") for name in values())


def test_our_names_begin_with_csn_and_histograms_end_with_their_unit(watched):
    for family in metrics.REGISTRY.collect():
        assert re.fullmatch(r"(csn|process|python)_[a-z0-9_]+", family.name)
        assert family.documentation
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_the_process_and_its_garbage_are_there():
    names = values()

    assert names["process_resident_memory_bytes"] > 0
    assert any(family.name == "python_gc_collections" for family in metrics.REGISTRY.collect())


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
def test_the_reader_gets_the_format_that_it_accepts(accept: str, content_type: str):
    body, given = metrics.render(accept)

    assert given.startswith(content_type)
    assert body.startswith(b"# HELP")
