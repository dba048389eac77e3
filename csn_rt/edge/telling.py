"""How an event gets from where it was committed to every node.

This node's own topics take it at once; the bus carries it to the others, adjacent events of a channel in one
envelope.
"""

from collections.abc import Iterable, Sequence

import structlog

from csn_rt.bus.base import Bus, Envelope
from csn_rt.edge.topics import Topics
from csn_rt.wire.published import Published

logger = structlog.get_logger(__name__)


class Teller:
    """Called with committed events, in order. Never waits, never fails: what is lost is seen by its
    offset."""

    def __init__(self, *, node_id: str, bus: Bus, topics: Topics | None = None) -> None:
        """`topics` is absent where nobody subscribes: in the worker."""
        self._node_id = node_id
        self._bus = bus
        self._topics = topics

    def __call__(self, published: Sequence[Published]) -> None:
        try:
            if self._topics is not None:
                for event in published:
                    self._topics.accept(event)
            for envelope in envelopes(self._node_id, published):
                self._bus.publish(envelope)
        except Exception:
            # The deed is committed: whoever told it must not take it for failed.
            logger.exception("telling_failed")


def envelopes(origin: str, published: Iterable[Published]) -> list[Envelope]:
    """One envelope per run of consecutive events of a channel; an event that redacts ends its run."""
    made: list[Envelope] = []
    open_runs: dict[str, Envelope] = {}
    for event in published:
        run = open_runs.get(event.channel)
        if run is not None and run.epoch == event.epoch and run.offset + len(run.events) == event.offset:
            run.events.append(event.data)
        else:
            run = Envelope(origin, event.channel, event.epoch, event.offset, [event.data], [])
            open_runs[event.channel] = run
            made.append(run)
        if event.redacts:
            run.redacts.extend(event.redacts)
            del open_runs[event.channel]
    return made
