"""What one flush says: a frame per dialect, made when its first socket comes up.

An encoding is made once, also for the two dialects that differ only in compression.
"""

from collections.abc import Callable

from csn_rt.wire.dialect import Dialect
from csn_rt.wire.frames import Frame
from csn_rt.wire.protocol import Codec


class Edition(dict[Dialect, Frame]):
    def __init__(self, payload_in: Callable[[Codec], bytes]) -> None:
        super().__init__()
        self._payload_in = payload_in
        self._payloads: dict[Codec, bytes] = {}

    def __missing__(self, dialect: Dialect) -> Frame:
        payload = self._payloads.get(dialect.codec)
        if payload is None:
            payload = self._payloads[dialect.codec] = self._payload_in(dialect.codec)
        frame = self[dialect] = dialect.shared_frame(payload)
        return frame
