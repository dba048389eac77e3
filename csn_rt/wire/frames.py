"""WebSocket frames (RFC 6455, section 5.2), made once and written to many sockets."""

from struct import pack

_FIN_TEXT = 0x81
_FIN_BINARY = 0x82


class Frame:
    """One outgoing message: what an ASGI server sends, and the same as the bytes that go on the wire."""

    __slots__ = ("is_binary", "payload", "wire")

    def __init__(self, payload: bytes, *, is_binary: bool = False) -> None:
        self.payload = payload
        self.is_binary = is_binary
        opcode = _FIN_BINARY if is_binary else _FIN_TEXT
        size = len(payload)
        if size < 126:
            self.wire = pack("!BB", opcode, size) + payload
        elif size < 65_536:
            self.wire = pack("!BBH", opcode, 126, size) + payload
        else:
            self.wire = pack("!BBQ", opcode, 127, size) + payload
