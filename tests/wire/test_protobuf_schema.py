"""Our `.proto`, what is generated from it, and the schema of the official clients: they are one."""

import pytest
from centrifuge.protocol import client_pb2 as official
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from csn_rt.wire import centrifuge_pb2 as ours
from csn_rt.wire.protocol import Command, Reply
from tests.support.gencode import GENERATED, ROOT, generate

MESSAGES = list(ours.DESCRIPTOR.message_types_by_name)
WIDER = {"Command.id", "HistoryRequest.limit"}
"""The client's numbers that are read wider than they are, so that one which is too large is seen."""
NEWER = {"SubscribeRequest.type"}
"""What only the JavaScript client has, whose tests therefore prove it."""


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.suffix)
def test_the_generated_module_is_of_the_schema(tmp_path, path):
    generate(tmp_path)

    assert (tmp_path / path).read_text() == (ROOT / path).read_text()


@pytest.mark.parametrize("message", MESSAGES)
def test_every_field_is_the_official_one_of_its_number(message):
    theirs = official.DESCRIPTOR.message_types_by_name[message]
    fields = ours.DESCRIPTOR.message_types_by_name[message].fields

    assert {facts(field) for field in fields if name_of(field) not in NEWER} <= {
        facts(field) for field in theirs.fields
    }


def name_of(field: FieldDescriptor) -> str:
    return f"{field.containing_type.name}.{field.name}"


def facts(field: FieldDescriptor) -> tuple:
    name = name_of(field)
    kind = "any integer" if name in WIDER else field.type
    submessage = field.message_type.name if field.message_type else None
    return field.number, name, kind, submessage, field.is_repeated


@pytest.mark.parametrize("name", sorted(WIDER))
def test_what_is_read_wider_takes_every_value_that_an_official_client_writes(name):
    message, _, field = name.partition(".")
    kind = ours.DESCRIPTOR.message_types_by_name[message].fields_by_name[field].type
    theirs = official.DESCRIPTOR.message_types_by_name[message].fields_by_name[field].type
    wide = {
        FieldDescriptor.TYPE_UINT32: FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_INT32: FieldDescriptor.TYPE_INT64,
    }

    assert wide[theirs] == kind


@pytest.mark.parametrize(("struct", "message"), [(Command, ours.Command), (Reply, ours.Reply)])
def test_the_schema_has_every_field_of_the_structs(struct, message):
    beside = {"push"}  # pushes have encoders of their own

    assert set(struct.__struct_fields__) == set(message.DESCRIPTOR.fields_by_name) - beside


def test_only_what_is_read_or_written_is_declared():
    assert set(MESSAGES) == reached(ours.Command.DESCRIPTOR) | reached(ours.Reply.DESCRIPTOR)


def reached(message: Descriptor) -> set[str]:
    inner = [field.message_type for field in message.fields if field.message_type]
    return {message.name}.union(*map(reached, inner))
