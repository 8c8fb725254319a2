"""The in-process Grid keeps to what Flower's Grid promises."""

from __future__ import annotations

import time

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedfr_edge.federation.grid import InProcessGrid

pytestmark = pytest.mark.usefixtures("flower")


def app_that(log: list[int]) -> ClientApp:
    """A client that doubles its array in place, changes the record it was given, and fails on node 13."""
    app = ClientApp()

    def train(message: Message, context: Context) -> Message:
        log.append(context.node_id)
        if context.node_id == 13:
            raise ValueError("bad luck")
        arrays = message.content["arrays"]
        values = arrays["a"].numpy()
        values *= 2
        arrays["a"] = Array(values)
        arrays["b"] = Array(values)
        message.content["metrics"] = MetricRecord({"node": context.node_id})
        return Message(message.content, reply_to=message)

    app.train()(train)
    return app


def make(nodes: list[int], *, wire: bool = False) -> tuple[InProcessGrid, list[int]]:
    log: list[int] = []
    contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in nodes}
    return InProcessGrid(app_that(log), contexts, wire=wire), log


def message(node: int, ttl: float = 60.0, content: RecordDict | None = None) -> Message:
    content = content or RecordDict({"arrays": ArrayRecord({"a": Array(np.ones(3, np.float32))})})
    return Message(content, node, "train", ttl=ttl, group_id="1")


def test_it_is_one_of_flowers_grids() -> None:
    grid, _ = make([5, 6])
    assert isinstance(grid, Grid)
    assert list(grid.get_node_ids()) == [5, 6]
    assert [node.node_id for node in grid.get_nodes()] == [5, 6]
    assert grid.run.run_id == 1  # type: ignore[attr-defined]
    made = grid.create_message(RecordDict(), "train", 5, "2", ttl=9.0)
    assert (made.metadata.dst_node_id, made.metadata.group_id, made.metadata.ttl) == (5, "2", 9.0)


def test_a_client_runs_when_its_reply_is_asked_for() -> None:
    grid, log = make([5, 6])
    ids = list(grid.push_messages([message(6), message(5)]))
    assert log == []
    replies = list(grid.pull_messages(ids))
    assert log == [6]
    assert [reply.metadata.reply_to_message_id for reply in replies] == [ids[0]]
    assert len(list(grid.pull_messages(ids))) == 1
    assert log == [6, 5]
    assert list(grid.pull_messages(ids)) == []
    assert list(grid.pull_messages(["unknown"])) == []


@pytest.mark.parametrize("wire", [False, True], ids=["in process", "wire"])
def test_clients_cannot_change_what_others_receive(wire: bool) -> None:
    grid, _ = make([5, 6], wire=wire)
    shared = message(5).content
    replies = list(grid.send_and_receive([message(5, content=shared), message(6, content=shared)]))
    for node, reply in zip((5, 6), replies, strict=True):
        assert reply.content["metrics"]["node"] == node
        assert reply.content["arrays"]["a"].numpy().tolist() == [2, 2, 2]
        assert reply.metadata.src_node_id == node
    assert set(shared) == {"arrays"}
    assert set(shared["arrays"]) == {"a"}
    assert shared["arrays"]["a"].numpy().tolist() == [1, 1, 1]


def test_a_failing_client_becomes_an_error_reply() -> None:
    grid, log = make([13, 14])
    failed, fine = grid.send_and_receive([message(13), message(14)])
    assert failed.has_error()
    assert failed.error.reason == "<class 'ValueError'>:<'bad luck'>"
    assert isinstance(grid.causes[13], ValueError)
    assert not fine.has_error()
    assert log == [13, 14]


def test_an_expired_message_is_not_delivered() -> None:
    grid, log = make([5])
    ids = list(grid.push_messages([message(5, ttl=0.01)]))
    time.sleep(0.05)
    (reply,) = grid.pull_messages(ids)
    assert reply.has_error()
    assert "expired" in reply.error.reason
    assert log == []


def test_a_timeout_leaves_the_rest_unanswered() -> None:
    grid, log = make([5, 6])
    assert list(grid.send_and_receive([message(5), message(6)], timeout=0.0)) == []
    assert log == []
