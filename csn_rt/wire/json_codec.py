"""The protocol in JSON: one object per line, a text frame per one or more lines.

Rule 1: whatever a client sends, `decode` answers commands or raises Malformed, and nothing else.
Rule 2: a message is one line. A newline inside a payload would break the frame for every SDK; in valid JSON
        it can only stand between tokens, so it is replaced by a space.
Rule 3: no blank line and no empty frame is ever made: old SDKs stop at them.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from csn_rt.wire.codes import CloseCode, UnsubscribeCode
from csn_rt.wire.protocol import MAX_COMMANDS, Command, Malformed, Reply

IS_BINARY: Final = False
PING: Final = b"{}"
SEPARATOR: Final = b"\n"

_decoder = msgspec.json.Decoder(Command)
_encoder = msgspec.json.Encoder()


class _Ended(msgspec.Struct, frozen=True):
    """The body of an unsubscribe or disconnect push: both fields always, the reason never empty."""

    code: int
    reason: str


class _Unsubscribe(msgspec.Struct, frozen=True):
    channel: str
    unsubscribe: _Ended


class _Disconnect(msgspec.Struct, frozen=True):
    disconnect: _Ended


class _Push(msgspec.Struct, frozen=True):
    push: _Unsubscribe | _Disconnect


def decode(frame: bytes | str) -> list[Command]:
    """Read the commands of a frame, at least one; blank lines between them are harmless."""
    try:
        breaks = frame.count(b"\n") if isinstance(frame, bytes) else frame.count("\n")
        if breaks >= MAX_COMMANDS:
            raise Malformed("too many commands in the frame")
        if isinstance(frame, bytes):
            frame.decode()  # the decoder looks at the text of the fields it knows, not into raw payloads
        commands = _decoder.decode_lines(frame)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed(str(error)) from None
    except RecursionError:
        raise Malformed("nested too deeply") from None
    if not commands:
        raise Malformed("no command in the frame")
    return commands


def encode_reply(reply: Reply) -> bytes:
    return _one_line(_encoder.encode(reply))


def publication_encoder(channel: str) -> Callable[[bytes, int | None], bytes]:
    """Make the encoder of a channel's publications: (data, offset or None) -> push.

    Publications are the hot path: the channel is encoded once, here, and the rest is putting bytes together.
    """
    prefix = b'{"push":{"channel":%b,"pub":{"data":' % _encoder.encode(channel)

    def encode(data: bytes, offset: int | None) -> bytes:
        line = data.replace(b"\n", b" ")  # gives back the same object if there is none
        if not offset:
            return prefix + line + b"}}}"
        return b'%b%b,"offset":%d}}}' % (prefix, line, offset)

    return encode


def encode_unsubscribe_push(channel: str, code: UnsubscribeCode) -> bytes:
    return _encoder.encode(_Push(_Unsubscribe(channel, _Ended(code, code.reason))))


def encode_disconnect_push(code: CloseCode) -> bytes:
    return _encoder.encode(_Push(_Disconnect(_Ended(code, code.reason))))


def _one_line(message: bytes) -> bytes:
    return message.replace(b"\n", b" ")
