"""The protocol in Protobuf: each message with its length before it, a binary frame per one or more.

Fields have the same names in `centrifuge.proto` and in the structs of `protocol`, so nothing is said twice.

Rule 1: whatever a client sends, `decode` answers commands or raises Malformed, and nothing else.
Rule 2: a submessage counts by being there, not by what is in it: the empty result of a reply is written (SDKs
        crash without it), and an empty request is a request.
Rule 3: a frame has at most `MAX_COMMANDS`: a command may be one byte, and a frame full of them would hold up
        the node for a second.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError, Message

from csn_rt.wire import centrifuge_pb2 as pb
from csn_rt.wire.codes import CloseCode, UnsubscribeCode
from csn_rt.wire.protocol import MAX_COMMANDS, Command, Malformed, Reply

IS_BINARY: Final = True
PING: Final = b"\x00"
SEPARATOR: Final = b""

# A length below 2^28, which is more than the shell accepts of a whole frame.
_MAX_LENGTH_BYTES: Final = 4
_PRESENT: Final = msgspec.Raw(b"{}")


def decode(frame: bytes | str) -> list[Command]:
    """Read the commands of a frame, at least one."""
    if isinstance(frame, str):
        raise Malformed("text, not Protobuf")
    messages = _messages(frame)
    if not messages:
        raise Malformed("no command in the frame")
    try:
        return [msgspec.convert(_read(pb.Command.FromString(message)), Command) for message in messages]
    except (DecodeError, msgspec.ValidationError) as error:
        raise Malformed(str(error)) from None


def encode_reply(reply: Reply) -> bytes:
    facts = msgspec.to_builtins(reply, builtin_types=(bytes,), enc_hook=bytes)
    return _delimited(pb.Reply(**facts))


def publication_encoder(channel: str) -> Callable[[bytes, int | None], bytes]:
    """Make the encoder of a channel's publications: (data, offset or None) -> push.

    Putting the bytes together by hand takes the same time (1.6 µs and 1.6 for 300 bytes of data, 2026-11-22).
    """

    def encode(data: bytes, offset: int | None) -> bytes:
        message = pb.Reply()  # always a new one: a message that is filled again forgets nothing, it grows
        push = message.push
        push.channel = channel
        publication = push.pub
        publication.data = data
        publication.offset = offset or 0
        return _delimited(message)

    return encode


def encode_unsubscribe_push(channel: str, code: UnsubscribeCode) -> bytes:
    unsubscribe = pb.Unsubscribe(code=code, reason=code.reason)
    return _delimited(pb.Reply(push=pb.Push(channel=channel, unsubscribe=unsubscribe)))


def encode_disconnect_push(code: CloseCode) -> bytes:
    disconnect = pb.Disconnect(code=code, reason=code.reason)
    return _delimited(pb.Reply(push=pb.Push(disconnect=disconnect)))


# Frames


def _messages(frame: bytes) -> list[bytes]:
    messages: list[bytes] = []
    end = 0
    while end < len(frame):
        start, size = _length(frame, end)
        end = start + size
        if end > len(frame):
            raise Malformed("the frame ends within a command")
        if len(messages) == MAX_COMMANDS:
            raise Malformed("too many commands in the frame")
        messages.append(frame[start:end])
    return messages


def _length(frame: bytes, start: int) -> tuple[int, int]:
    """Read a length (a varint); answers where it ends, and what it is."""
    size = 0
    for place, byte in enumerate(frame[start : start + _MAX_LENGTH_BYTES]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return start + place + 1, size
    raise Malformed("not the length of a command")


def _delimited(message: Message) -> bytes:
    data = message.SerializeToString()
    size = len(data)
    length = bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes(length) + data


def _read(message: Message) -> dict[str, Any]:
    """What a message says, in the shape of the structs; these judge it."""
    return {field.name: _value(value) for field, value in message.ListFields()}


def _value(value: Any) -> Any:
    match value:
        case bytes():
            return msgspec.Raw(value)
        case pb.FilterNode():
            return _PRESENT
        case Message():
            return _read(value)
    return value
