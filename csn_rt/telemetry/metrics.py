"""Every metric of the program, on one registry of its own. Names begin with `csn_` and end with their unit.

The metrics are module-level objects, because they count for the process. Hot loops add once per batch, never
once per member: an `inc` takes a lock.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

REGISTRY: Final = CollectorRegistry(auto_describe=True)

# From a commit on a quiet machine to the time-out of a command.
_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

connections: Final = Gauge("csn_connections", "Clients that are connected now.", registry=REGISTRY)
subscriptions: Final = Gauge("csn_subscriptions", "Subscriptions that are live now.", registry=REGISTRY)
deliveries: Final = Counter(
    "csn_deliveries_total", "Events handed to a subscriber's socket.", registry=REGISTRY
)
fan_out_s: Final = Histogram(
    "csn_fan_out_latency_seconds",
    "From the arrival of an event at the node to the end of the flush that wrote it.",
    buckets=_LATENCY_BUCKETS_S,
    registry=REGISTRY,
)
commit_s: Final = Histogram(
    "csn_commit_latency_seconds",
    "From the start of a transaction to its commit.",
    buckets=_LATENCY_BUCKETS_S,
    registry=REGISTRY,
)
gaps_repaired: Final = Counter(
    "csn_gaps_repaired_total", "Holes in a channel that were filled from the log.", registry=REGISTRY
)
operations: Final = Counter(
    "csn_operations_total", "Calls of operations.", ["operation", "outcome"], registry=REGISTRY
)
operation_s: Final = Histogram(
    "csn_operation_duration_seconds",
    "From the call of an operation to its answer.",
    ["operation"],
    buckets=_LATENCY_BUCKETS_S,
    registry=REGISTRY,
)

ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


class BusStatistics(Protocol):
    published: int
    dropped: int
    received: int
    malformed: int
    reconnects: int


class Bus(Protocol):
    """What is asked of the bus when the metrics are read."""

    @property
    def is_up(self) -> bool: ...

    @property
    def lag_s(self) -> float | None: ...

    def statistics(self) -> BusStatistics: ...


class _BusCollector(Collector):
    """Reads the bus when it is asked, so that the bus needs no metrics."""

    def __init__(self) -> None:
        self.bus: Bus | None = None

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        bus = self.bus
        if bus is None:
            return
        yield GaugeMetricFamily("csn_bus_up", "Whether the bus answers.", value=int(bus.is_up))
        if bus.lag_s is not None:
            yield GaugeMetricFamily(
                "csn_bus_lag_seconds", "How long the last canary was under way.", value=bus.lag_s
            )
        counted = bus.statistics()
        yield CounterMetricFamily("csn_bus_publishes", "Envelopes sent.", value=counted.published)
        yield CounterMetricFamily("csn_bus_drops", "Envelopes not sent.", value=counted.dropped)
        yield CounterMetricFamily("csn_bus_receipts", "Envelopes received.", value=counted.received)
        yield CounterMetricFamily("csn_bus_malformed", "Messages not understood.", value=counted.malformed)
        yield CounterMetricFamily("csn_bus_reconnects", "Connections regained.", value=counted.reconnects)


_bus_collector = _BusCollector()
REGISTRY.register(_bus_collector)


def watch_bus(bus: Bus | None) -> None:
    """Show this bus in the metrics, and no other; None shows none."""
    _bus_collector.bus = bus


def render(accept: str) -> tuple[bytes, str]:
    """All metrics as text, in the format that the reader accepts, and that format's content type."""
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type
