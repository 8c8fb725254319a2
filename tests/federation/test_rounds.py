"""The server's loop against a Grid that misbehaves on purpose."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import pytest
import torch
from flwr.app import Error, Message, RecordDict
from small_federation import SETTINGS, SPEC, assert_same_bits

from fedfr_edge.errors import ConfigError, PayloadError, QuorumError
from fedfr_edge.federation import flower_private as private
from fedfr_edge.federation.attempts import ShortRound
from fedfr_edge.federation.layout import Layout
from fedfr_edge.federation.one_round import one_round
from fedfr_edge.federation.payload import Instruction, make_reply, read_instruction
from fedfr_edge.federation.roster import HELLO, Roster, hello_reply, read_hello
from fedfr_edge.federation.terms import Terms
from fedfr_edge.federation.traffic import WAYS, traffic_by_client
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state
from fedfr_edge.train.client import ClientUpdate

pytestmark = pytest.mark.usefixtures("flower")

MODEL = GlobalModel(SPEC, cpu_state(build_backbone(SPEC, seed=9)), torch.zeros(2, SPEC.dim), round=2)
LAYOUT = Layout.of(SPEC, 2)
NODES = {"client-00": 70, "client-01": 50, "client-02": 60}
IMAGES = {"client-00": 3, "client-01": 5, "client-02": 11}
UNSORTED = ("client-02", "client-00", "client-01")
SENSITIVE = "net.bn1.weight"
# Weighted by the images these cancel exactly; added between them, a small number is lost.
HUGE = {"client-00": 11 * 2.0**60, "client-01": 0.0, "client-02": -3 * 2.0**60}


def update_of(client: str) -> ClientUpdate:
    """An update that depends on the client; one tensor's sum depends on the order even in float64."""
    generator = torch.Generator().manual_seed(IMAGES[client])
    backbone = {
        name: tensor + torch.randn(tensor.shape, generator=generator)
        if tensor.dtype == torch.float32
        else tensor + IMAGES[client]
        for name, tensor in MODEL.backbone.items()
    }
    backbone[SENSITIVE] += HUGE[client]
    return ClientUpdate(backbone, torch.full((2, SPEC.dim), float(IMAGES[client])), IMAGES[client])


def content_of(client: str) -> RecordDict:
    metrics = {"images": IMAGES[client], "hard_negatives": 1, "steps": 2, "loss": 0.5}
    return make_reply(LAYOUT, update_of(client), metrics)


Answer: TypeAlias = Callable[["StubGrid", int], list[Message]]


class StubGrid:
    """Collects messages; ``answer(grid, number)`` says what the pull of that number brings."""

    def __init__(self, answer: Answer, *, nodes: Iterable[int] = ()) -> None:
        self.answer, self.nodes = answer, list(nodes)
        self.sent: dict[int, Message] = {}
        self.everything: list[Message] = []
        self.unsendable: set[int] = set()
        self.pulls = 0

    def get_node_ids(self) -> list[int]:
        return self.nodes

    def push_messages(self, messages: Iterable[Message]) -> list[str | None]:
        ids: list[str | None] = []
        for message in messages:
            node = message.metadata.dst_node_id
            key = f"message-{len(self.everything)}"
            private.set_message_id(message, key)
            self.sent[node] = message
            self.everything.append(message)
            ids.append(None if node in self.unsendable else key)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.pulls += 1
        return self.answer(self, self.pulls)

    def reply(self, node: int, content: Any) -> Message:
        return Message(content, reply_to=self.sent[node])


def instruction(**changes: Any) -> Instruction:
    settings = dataclasses.replace(SETTINGS, **changes).resolved()
    return Instruction(3, "fed", 0, settings, MODEL)


def terms(**changes: Any) -> Terms:
    return Terms(**{"clients": 3, "deadline": 20.0, "poll": 0.001, **changes})


def in_order(*clients: str) -> Answer:
    def answer(grid: StubGrid, number: int) -> list[Message]:
        if number > len(clients):
            return []
        client = clients[number - 1]
        return [grid.reply(NODES[client], content_of(client))]

    return answer


def test_the_mean_is_the_weighted_one_and_everybody_got_the_model() -> None:
    grid = StubGrid(in_order("client-00", "client-01", "client-02"))
    model, report = one_round(grid, instruction(), NODES, terms())
    assert model.round == 3
    assert list(report.clients) == sorted(NODES)
    assert report.failed == {}
    # Worked out in another way: 3, 5 and 11 images that say 3, 5 and 11.
    assert torch.allclose(model.global_proxies, torch.tensor((9 + 25 + 121) / 19))
    name = "net.conv1.weight"
    assert name != SENSITIVE
    expected = sum(update_of(c).backbone[name].double() * IMAGES[c] for c in NODES) / 19  # type: ignore[union-attr]
    assert torch.allclose(model.backbone[name].double(), expected, rtol=1e-6)
    for node in NODES.values():
        asked = read_instruction(grid.sent[node].content)
        assert (asked.round, asked.federation) == (3, "fed")
        assert torch.equal(asked.model.backbone[name], MODEL.backbone[name])
        assert grid.sent[node].metadata.ttl == 20.0


def test_the_order_of_arrival_changes_no_bit() -> None:
    expected, _ = one_round(StubGrid(in_order(*sorted(NODES))), instruction(), NODES, terms())
    for order in (UNSORTED, ("client-01", "client-02", "client-00")):
        model, report = one_round(StubGrid(in_order(*order)), instruction(), NODES, terms())
        assert_same_bits(model, expected)
        assert list(report.clients) == sorted(NODES)

    def at_once(grid: StubGrid, number: int) -> list[Message]:
        return [grid.reply(NODES[client], content_of(client)) for client in UNSORTED]

    assert_same_bits(one_round(StubGrid(at_once), instruction(), NODES, terms())[0], expected)


def test_the_order_would_matter() -> None:
    """Or the test above would pass whatever the loop did."""
    from fedfr_edge.train.aggregate import WeightedMean

    results = []
    for order in (sorted(NODES), UNSORTED):
        mean = WeightedMean()
        for client in order:
            mean.add(update_of(client), IMAGES[client])
        results.append(mean.result(MODEL))
    with pytest.raises(AssertionError):
        assert_same_bits(*results)


def test_second_and_foreign_replies_are_ignored() -> None:
    expected, _ = one_round(StubGrid(in_order(*sorted(NODES))), instruction(), NODES, terms())
    with private.task_identity(1):
        foreign = Message(RecordDict(), 50, "train")
        private.set_message_id(foreign, "of the round before")

    def answer(grid: StubGrid, number: int) -> list[Message]:
        if number == 1:
            first = grid.reply(50, content_of("client-01"))
            late = Message(content_of("client-00"), reply_to=foreign)
            return [late, first, grid.reply(50, content_of("client-02"))]
        if number == 2:
            return [grid.reply(50, content_of("client-02"))]
        return [grid.reply(NODES[client], content_of(client)) for client in ("client-02", "client-00")]

    model, report = one_round(StubGrid(answer), instruction(), NODES, terms())
    assert_same_bits(model, expected)
    assert report.clients["client-01"]["images"] == IMAGES["client-01"]


def test_failures_are_left_out_and_reported() -> None:
    def answer(grid: StubGrid, number: int) -> list[Message]:
        refused = content_of("client-01")
        refused["private"] = refused["metrics"]
        broken = Message(
            Error(2, "<class 'f.client_app.ClientFailure'>:<'StoreError'>"), reply_to=grid.sent[60]
        )
        return [grid.reply(70, content_of("client-00")), broken, grid.reply(50, refused)]

    model, report = one_round(StubGrid(answer), instruction(), NODES, terms(quorum=1))
    assert list(report.clients) == ["client-00"]
    assert list(report.failed) == ["client-01", "client-02"]
    assert report.failed["client-01"].startswith("PayloadError: a client's reply holds")
    assert report.failed["client-02"] == "StoreError"
    # What the others were sent, and what one of them sent, went over the network all the same.
    down = report.clients["client-00"]["bytes_down"]
    up = report.lost_traffic["client-01"].pop("bytes_up")
    assert up > report.clients["client-00"]["bytes_up"]
    assert report.lost_traffic == {"client-01": {"bytes_down": down}, "client-02": {"bytes_down": down}}
    assert traffic_by_client(report.to_dict())["client-02"] == {"bytes_down": down}
    assert torch.equal(model.global_proxies, torch.full((2, SPEC.dim), 3.0))


def test_an_error_made_by_the_superlink_is_told_from_the_message_it_answers() -> None:
    """Such a reply comes from node 1, not from the client's node."""

    def answer(grid: StubGrid, number: int) -> list[Message]:
        gone = Message(Error(5, None), reply_to=grid.sent[60])
        gone.metadata.__dict__["_src_node_id"] = 1
        return [gone, *(grid.reply(NODES[c], content_of(c)) for c in ("client-00", "client-01"))]

    _, report = one_round(StubGrid(answer), instruction(), NODES, terms(quorum=2))
    assert report.failed == {"client-02": "Flower error 5"}


def test_the_deadline_ends_a_round() -> None:
    started = time.monotonic()
    _, report = one_round(
        StubGrid(in_order("client-02")), instruction(), NODES, terms(quorum=1, deadline=0.3)
    )
    assert 0.3 <= time.monotonic() - started < 5
    assert list(report.clients) == ["client-02"]
    assert report.failed == dict.fromkeys(("client-00", "client-01"), "no answer within 0.3 s")
    assert list(report.lost_traffic) == ["client-00", "client-01"]


def test_too_few_answers_end_the_run() -> None:
    with pytest.raises(
        ShortRound, match=r"2 of 3 clients .* round 3, expected at least 3 \(client-02: no answer"
    ) as caught:
        one_round(StubGrid(in_order("client-00", "client-01")), instruction(), NODES, terms(deadline=0.2))
    # All of the attempt's traffic was in vain; it is part of what the round costs in the end.
    lost = caught.value.to_dict()["lost_traffic"]
    assert {client: set(told) for client, told in lost.items()} == {
        "client-00": {"bytes_up", "bytes_down"},
        "client-01": {"bytes_up", "bytes_down"},
        "client-02": {"bytes_down"},
    }
    attempts = [{"lost_traffic": lost}] * 2
    both = traffic_by_client({"clients": {"client-00": {"bytes_up": 5}}, "attempts": attempts})
    sums = {way: 2 * lost["client-00"][way] for way in WAYS}
    assert both["client-00"] == sums | {"bytes_up": sums["bytes_up"] + 5}
    assert both["client-02"] == {"bytes_down": 2 * lost["client-02"]["bytes_down"]}


def test_nobody_answering_is_no_success() -> None:
    with pytest.raises(QuorumError, match="0 of 3"):
        one_round(StubGrid(lambda *_: []), instruction(), NODES, terms(quorum=1, deadline=0.1))


def test_a_message_that_could_not_be_sent_is_a_failure() -> None:
    grid = StubGrid(in_order("client-00", "client-02"))
    grid.unsendable = {50}
    _, report = one_round(grid, instruction(), NODES, terms(quorum=2))
    assert report.failed == {"client-01": "the message could not be sent"}
    assert report.lost_traffic == {}


def test_hard_negatives_weigh_in_the_authors_reading() -> None:
    def answer(grid: StubGrid, number: int) -> list[Message]:
        return [grid.reply(NODES[client], content_of(client)) for client in NODES]

    changed = instruction(client_weight="pool")
    model, _ = one_round(StubGrid(answer), changed, NODES, terms())
    assert torch.allclose(model.global_proxies, torch.tensor((4 * 3 + 6 * 5 + 12 * 11) / 22))


def test_progress_counts_every_client_once() -> None:
    counts: list[int] = []
    one_round(
        StubGrid(in_order("client-01", "client-00", "client-02")),
        instruction(),
        NODES,
        terms(),
        counts.append,
    )
    assert counts == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "changes", [{"clients": 0}, {"quorum": 4}, {"quorum": -1}, {"deadline": 0.0}, {"patience": -1.0}]
)
def test_terms_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        terms(**changes)


def test_the_quorum_is_of_those_asked() -> None:
    half = dataclasses.replace(SETTINGS, participation=0.5)
    assert (terms().asked(SETTINGS, 1), terms().least(3)) == (3, 3)
    assert (terms().asked(half, 1), terms().least(2), terms(quorum=1).least(2)) == (2, 2, 1)
    few = dataclasses.replace(SETTINGS, participation=1e-6)
    assert terms(clients=40).asked(few, 1) == 1
    kd = dataclasses.replace(half, method="kd")
    assert [terms().asked(kd, number) for number in (1, 2, 3)] == [2, 2, 3]
    terms(quorum=2).check(half)
    with pytest.raises(ConfigError, match=r"quorum is 3, but a round asks 2 of the 3 clients"):
        terms(quorum=3).check(half)
    with pytest.raises(ConfigError, match="central"):
        terms().check(dataclasses.replace(SETTINGS, method="central"))
    terms(clients=1).check(dataclasses.replace(SETTINGS, method="central"))


def test_a_round_that_asks_two_counts_by_those_two() -> None:
    nodes = {client: NODES[client] for client in ("client-00", "client-02")}
    grid = StubGrid(in_order("client-00", "client-02"))
    model, report = one_round(grid, instruction(), nodes, terms())
    assert list(report.clients) == list(nodes)
    assert set(grid.sent) == {70, 60}
    assert torch.allclose(model.global_proxies, torch.tensor((9 + 121) / 14))
    with pytest.raises(QuorumError, match=r"1 of 2 clients .* expected at least 2"):
        one_round(StubGrid(in_order("client-00")), instruction(), nodes, terms(deadline=0.2))


def test_only_theta_travels_without_public_faces() -> None:
    layout = Layout.of(SPEC, 0)
    bare = dataclasses.replace(update_of("client-01"), global_proxies=torch.zeros(0, SPEC.dim))
    metrics = {"images": 5, "hard_negatives": 0, "steps": 2}
    nodes = {"client-01": 50}

    def answer(grid: StubGrid, number: int) -> list[Message]:
        return [grid.reply(50, make_reply(layout, bare, metrics))]

    mine = dataclasses.replace(MODEL, global_proxies=torch.ones(2, SPEC.dim))
    asked = dataclasses.replace(instruction(method="fedavg", alpha_bce=None), model=mine)
    grid = StubGrid(answer)
    model, _ = one_round(grid, asked, nodes, terms())
    assert read_instruction(grid.sent[50].content).model.global_proxies.shape == (0, SPEC.dim)
    assert torch.equal(model.global_proxies, mine.global_proxies)
    assert torch.equal(model.backbone["net.conv1.weight"], bare.backbone["net.conv1.weight"])
    # A Φ that nobody asked for is refused.
    with pytest.raises(QuorumError, match="PayloadError: phi of a client's reply"):
        one_round(StubGrid(in_order("client-01")), asked, nodes, terms())


def test_a_second_stage_takes_metrics_and_leaves_the_model() -> None:
    metrics = {"images": 5, "hard_negatives": 0, "steps": 2, "loss_kd": 0.5}
    nodes = {"client-00": 70, "client-01": 50}

    def answer(grid: StubGrid, number: int) -> list[Message]:
        return [
            grid.reply(70, make_reply(None, None, metrics)),
            grid.reply(50, content_of("client-01")),  # an update: refused
        ]

    asked = instruction(method="kd", rounds=2)
    model, report = one_round(StubGrid(answer), asked, nodes, terms(quorum=1))
    assert_same_bits(model, dataclasses.replace(MODEL, round=3))
    traffic = {name: report.clients["client-00"].pop(name) for name in ("bytes_up", "bytes_down")}
    assert all(count > 0 for count in traffic.values())
    assert report.clients == {"client-00": metrics}
    assert report.failed["client-01"].startswith("PayloadError: a client's reply holds arrays")
    assert report.to_dict()["stage"] == report.stage == "kd"
    assert "stage" not in dataclasses.replace(report, stage="federated").to_dict()


def test_each_client_is_sent_its_own_proxies_and_gives_its_own() -> None:
    layout = Layout.of(SPEC, 0, people=2)
    nodes = {"client-00": 70, "client-01": 50}
    bare = {
        client: dataclasses.replace(
            update_of(client),
            global_proxies=torch.zeros(0, SPEC.dim),
            local_proxies=torch.full((2, SPEC.dim), float(IMAGES[client])),
        )
        for client in nodes
    }
    metrics = {"images": 5, "hard_negatives": 0, "steps": 2}

    def answer(grid: StubGrid, number: int) -> list[Message]:
        return [grid.reply(node, make_reply(layout, bare[client], metrics)) for client, node in nodes.items()]

    known = {"client-01": torch.full((2, SPEC.dim), 7.0), "client-02": torch.zeros(1, SPEC.dim)}
    grid = StubGrid(answer)
    _, report = one_round(grid, instruction(method="fedface"), nodes, terms(clients=2), proxies=known)
    own = {client: read_instruction(grid.sent[node].content).proxies for client, node in nodes.items()}
    assert own["client-00"] is None
    assert own["client-01"] is not None
    assert torch.equal(own["client-01"], known["client-01"])
    assert sorted(report.proxies) == list(nodes)
    for client, found in report.proxies.items():
        assert torch.equal(found, torch.full((2, SPEC.dim), float(IMAGES[client])))
    assert "proxies" not in report.to_dict()


def answers_hello(names: dict[int, str]) -> Answer:
    def answer(grid: StubGrid, number: int) -> list[Message]:
        return [
            grid.reply(node, hello_reply(names[node]))
            for node, message in grid.sent.items()
            if message.metadata.message_type == HELLO and node in names
        ]

    return answer


def test_clients_say_who_they_are_and_are_asked_once() -> None:
    grid = StubGrid(answers_hello({50: "client-01", 70: "client-00"}), nodes=[50, 70])
    roster = Roster(grid, patience=5.0, poll=0.001)
    assert list(roster.online(2, 2).items()) == [("client-00", 70), ("client-01", 50)]
    assert roster.online(2, 2) == {"client-00": 70, "client-01": 50}
    assert len(grid.everything) == 2


def test_missing_clients_are_waited_for_and_then_missed() -> None:
    grid = StubGrid(answers_hello({50: "client-01"}), nodes=[50, 60])
    roster = Roster(grid, patience=0.2, poll=0.001)
    assert roster.online(2, 1) == {"client-01": 50}
    with pytest.raises(
        QuorumError, match=r"1 clients are online \(client-01\) after 0.2 s, expected at least 2"
    ):
        roster.online(2, 2)


def test_a_node_that_came_later_takes_the_place_of_the_one_before() -> None:
    names = {50: "client-00"}
    grid = StubGrid(answers_hello(names), nodes=[50])
    roster = Roster(grid, patience=0.2, poll=0.001)
    assert roster.online(1, 1) == {"client-00": 50}
    names[51] = "client-00"  # restarted: a new node id, while the old one still counts as online
    grid.nodes.append(51)
    grid.sent.pop(50)
    assert roster.online(1, 1) == {"client-00": 51}
    with pytest.raises(QuorumError, match="several nodes say that they are client-00"):
        roster.online(2, 2)


def test_a_node_that_goes_offline_is_not_asked_to_train() -> None:
    grid = StubGrid(answers_hello({50: "client-01", 70: "client-00"}), nodes=[50, 70])
    roster = Roster(grid, patience=0.2, poll=0.001)
    roster.online(2, 2)
    grid.nodes.remove(70)
    assert roster.online(1, 1) == {"client-01": 50}


def test_a_node_that_cannot_say_who_it_is_is_asked_again_next_time(caplog: pytest.LogCaptureFixture) -> None:
    def answer(grid: StubGrid, number: int) -> list[Message]:
        if len(grid.everything) == 1:
            return [Message(Error(2, "ConfigError"), reply_to=grid.sent[50])]
        return [grid.reply(50, hello_reply("client-00"))]

    grid = StubGrid(answer, nodes=[50])
    roster = Roster(grid, patience=0.1, poll=0.001)
    with pytest.raises(QuorumError):
        roster.online(1, 1)
    assert "node 50 did not say who it is: ConfigError" in caplog.text
    assert len(grid.everything) == 1
    assert roster.online(1, 1) == {"client-00": 50}


def test_an_introduction_holds_a_name_and_nothing_else() -> None:
    assert read_hello(hello_reply("client-00")) == "client-00"
    more = hello_reply("client-00")
    more["hello"]["identities"] = ["anna"]
    other = RecordDict({"arrays": content_of("client-00")["arrays"]})
    for content in (more, other, RecordDict(), hello_reply("")):
        with pytest.raises(PayloadError):
            read_hello(content)
