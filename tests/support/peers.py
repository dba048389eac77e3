"""A socket as a topic sees it, and what it was told."""

import io

import msgspec
from google.protobuf import proto

from csn_rt.wire import centrifuge_pb2, json_codec
from csn_rt.wire.dialect import Dialect, dialect
from csn_rt.wire.frames import Frame

JSON = dialect(json_codec)


class _Publication(msgspec.Struct):
    data: msgspec.Raw


class _Push(msgspec.Struct):
    pub: _Publication


class _Message(msgspec.Struct):
    push: _Push


class FakePeer:
    def __init__(self, dialect: Dialect = JSON) -> None:
        self.dialect = dialect
        self.is_writable = True
        self.writer = self
        self.frames: list[Frame] = []
        self.lost_channels: list[str] = []

    def offer(self, frame: Frame) -> bool:
        if self.is_writable:
            self.frames.append(frame)
        return self.is_writable

    def lost(self, name: str) -> None:
        self.lost_channels.append(name)

    @property
    def got(self) -> list[bytes]:
        """The data of every publication, in order."""
        return [data for frame in self.frames for data in data_of(frame)]


def data_of(frame: Frame) -> list[bytes]:
    """The data of the publications in a frame."""
    if frame.is_binary:
        return _data_of_protobuf(frame.payload)
    messages = msgspec.json.Decoder(_Message).decode_lines(frame.payload)
    return [bytes(message.push.pub.data) for message in messages]


def _data_of_protobuf(payload: bytes) -> list[bytes]:
    stream, data = io.BytesIO(payload), []
    while (reply := proto.parse_length_prefixed(centrifuge_pb2.Reply, stream)) is not None:
        data.append(reply.push.pub.data)
    return data
