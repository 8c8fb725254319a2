"""Flower's private names still do what the in-process engine needs of them."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedfr_edge.federation import flower_private as private


def message() -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord({"phi": Array(np.arange(6, dtype=np.float32).reshape(2, 3))}),
            "config": ConfigRecord({"server-round": 3}),
            "metrics": MetricRecord({"loss": 0.1}),
        }
    )
    made = Message(content, 7, "train", ttl=5.0, group_id="3")
    private.set_message_id(made, "the-id")
    return made


def test_messages_can_be_made_only_within_an_identity() -> None:
    with pytest.raises(RuntimeError):
        message()
    with private.task_identity(4):
        inside = message()
        with private.task_identity(5):
            pass
        assert message().metadata.run_id == 4
    assert inside.metadata.run_id == 4
    assert inside.metadata.src_node_id == private.SERVER_NODE
    with pytest.raises(RuntimeError):
        message()


@pytest.mark.usefixtures("flower")
def test_a_message_comes_through_the_wire_unchanged() -> None:
    sent = message()
    got = private.through_the_wire(sent)
    assert got is not sent
    assert got.content is not sent.content
    assert got.metadata == sent.metadata
    assert got.metadata.message_id == "the-id"
    assert np.array_equal(got.content["arrays"]["phi"].numpy(), sent.content["arrays"]["phi"].numpy())
    assert dict(got.content["config"]) == {"server-round": 3}
    assert dict(got.content["metrics"]) == {"loss": 0.1}
    reply = Message(got.content, reply_to=got)
    assert reply.metadata.reply_to_message_id == "the-id"


@pytest.mark.usefixtures("flower")
def test_the_bytes_of_a_message_hold_its_arrays() -> None:
    sent = message()
    values = sent.content["arrays"]["phi"].numpy().tobytes()
    assert sum(values in part for part in private.to_bytes(sent).values()) == 1


@pytest.mark.usefixtures("flower")
def test_content_can_be_changed_and_the_metadata_stays() -> None:
    sent = message()
    other = private.with_content(sent, RecordDict())
    assert other.metadata == sent.metadata
    assert set(other.content) == set()
    assert set(sent.content) == {"arrays", "config", "metrics"}


def test_an_empty_run_has_its_number() -> None:
    assert private.empty_run(9).run_id == 9
