"""What clients are told, as they read it: one struct for every kind of push."""

import msgspec
from msgspec import Struct


class User(Struct, frozen=True):
    id: str


class Data(Struct, frozen=True):
    """`data` of a publication, and an item of a page of chat. What a kind does not have is empty."""

    type: str = ""
    id: str = ""
    user: User | None = None
    text: str = ""
    client_id: str | None = None
    sequence: int = 0
    viewers: int | None = None
    stale: bool = False
    seq: int = 0
    content_id: str = ""
    version: int = 0
    position_ms: int = 0
    continue_watching: list["Data"] = []


class Publication(Struct, frozen=True):
    data: Data
    offset: int = 0


class Unsubscribe(Struct, frozen=True):
    code: int


class Push(Struct, frozen=True):
    channel: str = ""
    pub: Publication | None = None
    unsubscribe: Unsubscribe | None = None


class _Line(Struct, frozen=True):
    push: Push


_decoder = msgspec.json.Decoder(_Line)


def read_push(line: bytes) -> Push:
    return _decoder.decode(line).push


def read_publications(reply: dict) -> list[Publication]:
    return msgspec.convert(reply.get("publications", []), list[Publication])


def read_data(data: object) -> Data:
    return msgspec.convert(data, Data)


def read_items(page: dict) -> list[Data]:
    return msgspec.convert(page["items"], list[Data])
