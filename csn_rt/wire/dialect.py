"""How the frames for a socket are made: an encoding, and whether what a whole room is told is compressed.

Rule 1: there is one object per dialect, so that the sockets of a dialect share their frames.
Rule 2: only what is shared is compressed: once for a whole room it pays, once per socket it would be a way to
        keep a node busy.
"""

from functools import cache

from csn_rt.wire.frames import Frame
from csn_rt.wire.protocol import Codec


class Dialect:
    __slots__ = ("codec", "is_deflated")

    def __init__(self, codec: Codec, *, is_deflated: bool) -> None:
        """Use `dialect`, which makes each only once."""
        self.codec = codec
        self.is_deflated = is_deflated

    def frame(self, payload: bytes) -> Frame:
        """For one socket."""
        return Frame(payload, is_binary=self.codec.IS_BINARY)

    def shared_frame(self, payload: bytes) -> Frame:
        """For many sockets."""
        return Frame(payload, is_binary=self.codec.IS_BINARY, may_deflate=self.is_deflated)


@cache
def dialect(codec: Codec, *, is_deflated: bool = False) -> Dialect:
    return Dialect(codec, is_deflated=is_deflated)
