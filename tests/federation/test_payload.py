"""Packing is lossless, and the guard lets nothing through but what may travel."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from small_federation import SETTINGS, SPEC

from fedfr_edge.errors import PayloadError
from fedfr_edge.federation.layout import FLAT, INTS, PHI, PROXIES, Layout, pack, unpack
from fedfr_edge.federation.payload import (
    Instruction,
    check_agreed,
    guard,
    make_instruction,
    make_reply,
    read_instruction,
    read_reply,
    with_proxies,
)
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state
from fedfr_edge.train.client import METRICS, ClientUpdate
from fedfr_edge.train.config import METHODS

CLASSES = 3
LAYOUT = Layout.of(SPEC, CLASSES)
METRIC_VALUES = {
    "images": 8.0,
    "hard_negatives": 2.0,
    "loss": 1.5,
    "loss_cos": 1.0,
    "loss_con": 0.25,
    "loss_bce": 0.25,
    "loss_branch": 0.125,
    "loss_kd": 0.5,
    "seconds": 0.5,
    "steps": 3.0,
}


def model() -> GlobalModel:
    state = cpu_state(build_backbone(SPEC, seed=5))
    counters = [name for name, tensor in state.items() if tensor.dtype == torch.int64]
    for index, name in enumerate(counters):
        state[name] = torch.tensor(2**40 + index)
    proxies = torch.arange(CLASSES * SPEC.dim, dtype=torch.float32).reshape(CLASSES, SPEC.dim) / 7
    # Values that a detour through text, float64 sums or a sign would change.
    proxies[0, :4] = torch.tensor([-0.0, 1e-45, 3.4028235e38, 1 / 3])
    return GlobalModel(SPEC, state, proxies, round=4, metadata={"public_classes": '["ä", "b", "c"]'})


def update() -> ClientUpdate:
    start = model()
    return ClientUpdate(start.backbone, start.global_proxies, images=8)


def reply() -> RecordDict:
    return make_reply(LAYOUT, update(), METRIC_VALUES)


def test_packing_is_lossless() -> None:
    start = model()
    arrays = pack(LAYOUT, start.backbone, start.global_proxies)
    assert {key: (str(array.dtype), array.shape) for key, array in arrays.items()} == LAYOUT.expected()
    backbone, proxies = unpack(LAYOUT, arrays)
    assert list(backbone) == list(start.backbone)
    for name, tensor in start.backbone.items():
        assert backbone[name].numpy().tobytes() == tensor.numpy().tobytes()
        assert backbone[name].shape == tensor.shape
    assert proxies.numpy().tobytes() == start.global_proxies.numpy().tobytes()
    backbone[next(iter(backbone))].zero_()  # a copy of its own, not the message's bytes


def test_the_flat_array_is_the_state_dict_in_order() -> None:
    start = model()
    arrays = pack(LAYOUT, start.backbone, start.global_proxies)
    floats = [tensor.flatten() for tensor in start.backbone.values() if tensor.dtype == torch.float32]
    assert np.array_equal(arrays[FLAT], torch.cat(floats).numpy())
    assert arrays[INTS][0] == 2**40
    assert sum(array.size for array in (arrays[FLAT], arrays[INTS])) == sum(
        tensor.numel() for tensor in start.backbone.values()
    )


def test_the_layouts_digest_tells_backbones_apart() -> None:
    specs = [
        SPEC,
        dataclasses.replace(SPEC, width=8),
        dataclasses.replace(SPEC, dim=32),
        dataclasses.replace(SPEC, name="sphereface10"),
    ]
    layouts = [*(Layout.of(spec, CLASSES) for spec in specs), Layout.of(SPEC, CLASSES + 1)]
    name, dtype, shape = LAYOUT.entries[0]
    for entry in (("other", dtype, shape), (name, "int64", shape), (name, dtype, (*shape, 1))):
        layouts.append(dataclasses.replace(LAYOUT, entries=(entry, *LAYOUT.entries[1:])))
    layouts.append(dataclasses.replace(LAYOUT, entries=(*LAYOUT.entries[1:], LAYOUT.entries[0])))
    assert len({layout.digest for layout in layouts}) == len(layouts)
    assert Layout.of(SPEC, CLASSES).digest == LAYOUT.digest


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape", "dtype", "proxies"])
def test_a_model_that_does_not_fit_the_layout_is_not_packed(fault: str) -> None:
    start = model()
    backbone, proxies = dict(start.backbone), start.global_proxies
    name = next(iter(backbone))
    if fault == "missing":
        del backbone[name]
    elif fault == "unknown":
        backbone["local_proxies"] = torch.zeros(2, 16)
    elif fault == "shape":
        backbone[name] = backbone[name].flatten()
    elif fault == "dtype":
        backbone[name] = backbone[name].double()
    else:
        proxies = proxies[:2]
    with pytest.raises(PayloadError):
        pack(LAYOUT, backbone, proxies)


def test_an_instruction_arrives_as_it_was_sent() -> None:
    sent = Instruction(5, "f" * 32, 2**62, SETTINGS.resolved(), model())
    got = read_instruction(make_instruction(sent))
    assert (got.round, got.federation, got.seed, got.settings) == (5, "f" * 32, 2**62, sent.settings)
    assert (got.model.spec, got.model.round, got.model.metadata) == (SPEC, 4, sent.model.metadata)
    for name, tensor in sent.model.backbone.items():
        assert torch.equal(got.model.backbone[name], tensor)
    assert torch.equal(got.model.global_proxies, sent.model.global_proxies)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("layout", "0" * 64),
        ("seed", 1.5),
        ("spec", json.dumps({"name": "sphereface20"})),
        ("spec", "["),
        ("settings", "{}"),
        ("settings", "[1]"),
        ("metadata", "[]"),
        ("extra", 1),
        ("federation", None),
    ],
)
def test_an_instruction_that_is_not_understood_is_refused(key: str, value: object) -> None:
    content = make_instruction(Instruction(1, "f", 0, SETTINGS.resolved(), model()))
    config = dict(content["config"])
    if value is None:
        del config[key]
    else:
        config[key] = value
    content["config"] = ConfigRecord(config)
    with pytest.raises(PayloadError):
        read_instruction(content)


def test_settings_out_of_range_are_refused() -> None:
    settings = dataclasses.replace(SETTINGS.resolved(), learning_rate=-1.0)
    with pytest.raises(PayloadError, match="learning_rate"):
        read_instruction(make_instruction(Instruction(1, "f", 0, settings, model())))


def test_a_reply_arrives_as_it_was_sent() -> None:
    got, metrics = read_reply(reply(), LAYOUT)
    sent = update()
    for name, tensor in sent.backbone.items():
        assert torch.equal(got.backbone[name], tensor)
    assert torch.equal(got.global_proxies, sent.global_proxies)
    assert got.images == 8
    assert metrics == METRIC_VALUES
    assert set(METRIC_VALUES) == set(METRICS)


def with_array(key: str, change: Callable[[Array], Array]) -> RecordDict:
    content = reply()
    content["arrays"] = ArrayRecord(
        {name: change(array) if name == key else array for name, array in content["arrays"].items()}
    )
    return content


def with_metric(name: str, value: object) -> RecordDict:
    content = reply()
    metrics = dict(content["metrics"])
    metrics.pop(name, None)
    content["metrics"] = MetricRecord(metrics if value is None else {**metrics, name: value})
    return content


def trailing(array: Array) -> Array:
    return Array(array.dtype, tuple(array.shape), array.stype, array.data + b"private")


def long_header(array: Array) -> Array:
    """A valid npy file whose header's padding carries text."""
    start = array.data.index(b"\n") + 1
    header = array.data[10 : start - 1] + b"#" + b"private" * 9 + b"\n"
    data = array.data[:8] + len(header).to_bytes(2, "little") + header + array.data[start:]
    assert np.array_equal(np.load(io.BytesIO(data)), array.numpy())  # numpy itself does not mind
    return Array(array.dtype, tuple(array.shape), array.stype, data)


def poisoned(value: float) -> Callable[[Array], Array]:
    def change(array: Array) -> Array:
        values = array.numpy()
        values.reshape(-1)[-1] = value
        return Array(values)

    return change


def with_record(name: str, record: object) -> RecordDict:
    content = reply()
    content[name] = record
    return content


def without_record(name: str) -> RecordDict:
    content = reply()
    del content[name]
    return content


def with_extra_array() -> RecordDict:
    content = reply()
    content["arrays"]["local_proxies"] = Array(np.zeros((2, 16), np.float32))
    return content


def without_array() -> RecordDict:
    content = reply()
    del content["arrays"][INTS]
    return content


REFUSED = {
    "another record": lambda: with_record("private", ArrayRecord({"w": Array(np.zeros(3))})),
    "an empty config record": lambda: with_record("config", ConfigRecord()),
    "no metrics": lambda: without_record("metrics"),
    "no arrays": lambda: without_record("arrays"),
    "metrics of another kind": lambda: with_record("metrics", ConfigRecord({"images": 8})),
    "another array": with_extra_array,
    "an array less": without_array,
    "longer Θ": lambda: with_array(FLAT, lambda array: Array(np.append(array.numpy(), np.float32(0)))),
    "Θ in another shape": lambda: with_array(FLAT, lambda array: Array(array.numpy().reshape(1, -1))),
    "Θ as float64": lambda: with_array(FLAT, lambda array: Array(array.numpy().astype(np.float64))),
    "Θ as big-endian": lambda: with_array(FLAT, lambda array: Array(array.numpy().astype(">f4"))),
    "a shape that is only claimed": lambda: with_array(
        PHI, lambda array: Array("float32", LAYOUT.proxies, array.stype, Array(np.zeros(3)).data)
    ),
    "a dtype that is only claimed": lambda: with_array(
        PHI, lambda array: Array("float64", LAYOUT.proxies, array.stype, array.data)
    ),
    "columns first": lambda: with_array(PHI, lambda array: Array(np.asfortranarray(array.numpy()))),
    "bytes after the array": lambda: with_array(PHI, trailing),
    "text in the array's header": lambda: with_array(PHI, long_header),
    "bytes that are no array": lambda: with_array(
        PHI, lambda array: Array("float32", LAYOUT.proxies, array.stype, b"private")
    ),
    "another serialisation": lambda: with_array(
        PHI, lambda array: Array("float32", LAYOUT.proxies, "pickle", array.data)
    ),
    "NaN in Θ": lambda: with_array(FLAT, poisoned(float("nan"))),
    "infinity in Φ": lambda: with_array(PHI, poisoned(float("-inf"))),
    "an unknown metric": lambda: with_metric("threshold", 0.5),
    "a list of numbers": lambda: with_metric("loss", [0.5, 0.25]),
    "a loss that is not finite": lambda: with_metric("loss", float("nan")),
    "no image count": lambda: with_metric("images", None),
    "no images": lambda: with_metric("images", 0),
    "half an image": lambda: with_metric("images", 0.5),
    "fewer than no hard negatives": lambda: with_metric("hard_negatives", -9),
    "no count of hard negatives": lambda: with_metric("hard_negatives", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_guard_refuses(name: str) -> None:
    guard(reply(), LAYOUT)  # what REFUSED starts from is fine
    with pytest.raises(PayloadError):
        guard(REFUSED[name](), LAYOUT)


def test_a_client_cannot_even_make_such_a_reply() -> None:
    with pytest.raises(PayloadError, match="threshold"):
        make_reply(LAYOUT, update(), {**METRIC_VALUES, "threshold": 0.5})
    broken = update()
    broken.global_proxies[0, 0] = float("nan")
    with pytest.raises(PayloadError, match="phi holds 1 values that are not finite"):
        make_reply(LAYOUT, broken, METRIC_VALUES)


def test_the_weight_is_the_updates_own_count() -> None:
    content = make_reply(LAYOUT, update(), {**METRIC_VALUES, "images": 999.0})
    assert content["metrics"]["images"] == 8


# FedFace: W travels too, where the client's own site agreed.
PEOPLE = 2
SHARED = Layout.of(SPEC, CLASSES, PEOPLE)
FEDFACE = dataclasses.replace(SETTINGS, method="fedface").resolved()


def own_proxies() -> torch.Tensor:
    return torch.arange(PEOPLE * SPEC.dim, dtype=torch.float32).reshape(PEOPLE, SPEC.dim) / 11


def sharing_update() -> ClientUpdate:
    return dataclasses.replace(update(), local_proxies=own_proxies())


def test_w_is_refused_until_it_was_agreed_to() -> None:
    with pytest.raises(PayloadError, match="nobody agreed that it may leave"):
        make_reply(LAYOUT, sharing_update(), METRIC_VALUES)
    with pytest.raises(PayloadError, match="agreed to travel and is missing"):
        make_reply(SHARED, update(), METRIC_VALUES)
    agreed = make_reply(SHARED, sharing_update(), METRIC_VALUES)
    with pytest.raises(PayloadError, match="proxies"):  # on either side
        guard(agreed, LAYOUT)
    with pytest.raises(PayloadError, match="proxies"):
        read_reply(agreed, LAYOUT)


@pytest.mark.parametrize("method", METHODS)
def test_only_fedface_asks_and_says_what_would_leave(method: str) -> None:
    settings = dataclasses.replace(SETTINGS, method=method)
    check_agreed(settings, True)
    if method != "fedface":
        check_agreed(settings, False)
        return
    with pytest.raises(PayloadError, match=r"stands for that person's face.*share-proxies=true"):
        check_agreed(settings, False)


def test_w_arrives_as_it_was_sent() -> None:
    content = make_reply(SHARED, sharing_update(), METRIC_VALUES)
    assert set(content["arrays"]) == {FLAT, INTS, PHI, PROXIES}
    got, _ = read_reply(content, LAYOUT, shares_proxies=True)
    assert got is not None
    assert got.local_proxies is not None
    assert torch.equal(got.local_proxies, own_proxies())
    assert torch.equal(got.global_proxies, update().global_proxies)
    plain, _ = read_reply(reply(), LAYOUT)
    assert plain is not None
    assert plain.local_proxies is None


def with_own(array: Array) -> RecordDict:
    content = make_reply(SHARED, sharing_update(), METRIC_VALUES)
    content["arrays"] = ArrayRecord({**content["arrays"], PROXIES: array})
    return content


BAD_OWN = {
    "no row": Array(np.zeros((0, SPEC.dim), np.float32)),
    "other width": Array(np.zeros((PEOPLE, SPEC.dim + 1), np.float32)),
    "one axis": Array(np.zeros(SPEC.dim, np.float32)),
    "float64": Array(np.zeros((PEOPLE, SPEC.dim))),
    "bytes after it": trailing(Array(np.zeros((PEOPLE, SPEC.dim), np.float32))),
    "a NaN": Array(np.full((PEOPLE, SPEC.dim), np.nan, np.float32)),
}


@pytest.mark.parametrize("fault", BAD_OWN)
def test_the_server_refuses_another_w(fault: str) -> None:
    with pytest.raises(PayloadError):
        read_reply(with_own(BAD_OWN[fault]), LAYOUT, shares_proxies=True)


def test_the_client_sends_as_many_rows_as_it_has_people() -> None:
    more = dataclasses.replace(update(), local_proxies=torch.zeros(PEOPLE + 1, SPEC.dim))
    with pytest.raises(PayloadError, match=r"\(3, 16\), expected float32 of shape \(2, 16\)"):
        make_reply(SHARED, more, METRIC_VALUES)


def test_a_reply_of_fedface_without_w_is_refused() -> None:
    with pytest.raises(PayloadError, match="no row of W"):
        read_reply(reply(), LAYOUT, shares_proxies=True)


def test_each_client_is_sent_its_own_w() -> None:
    content = make_instruction(Instruction(2, "f", 0, FEDFACE, model()))
    assert read_instruction(content).proxies is None  # before its first round
    got = read_instruction(with_proxies(content, own_proxies()))
    assert got.proxies is not None
    assert torch.equal(got.proxies, own_proxies())
    whole = make_instruction(Instruction(2, "f", 0, FEDFACE, model(), own_proxies()))
    assert {key: array.data for key, array in whole["arrays"].items()} == {
        key: array.data for key, array in with_proxies(content, own_proxies())["arrays"].items()
    }
    assert set(content["arrays"]) == {FLAT, INTS, PHI}  # the others' message is as it was
    fedfr = with_proxies(
        make_instruction(Instruction(2, "f", 0, SETTINGS.resolved(), model())), own_proxies()
    )
    with pytest.raises(PayloadError, match="proxies"):
        read_instruction(fedfr)
    with pytest.raises(PayloadError, match="proxies"):
        read_instruction(with_proxies(content, torch.zeros(2, 3)))


def test_phi_travels_with_no_rows_where_no_public_face_is_used() -> None:
    bare = dataclasses.replace(model(), global_proxies=torch.zeros(0, SPEC.dim))
    got = read_instruction(make_instruction(Instruction(1, "f", 0, SETTINGS.resolved(), bare)))
    assert got.model.global_proxies.shape == (0, SPEC.dim)
    layout = Layout.of(SPEC, 0)
    content = make_reply(
        layout, dataclasses.replace(update(), global_proxies=bare.global_proxies), METRIC_VALUES
    )
    assert content["arrays"][PHI].numpy().shape == (0, SPEC.dim)
    with pytest.raises(PayloadError, match="phi"):
        guard(reply(), layout)


# A second stage: nothing but metrics.
def test_a_second_stage_sends_metrics_and_no_array() -> None:
    content = make_reply(None, None, METRIC_VALUES)
    assert set(content) == {"metrics"}
    assert read_reply(content, None) == (None, METRIC_VALUES)


def test_an_update_in_a_second_stage_is_refused_on_both_sides() -> None:
    with pytest.raises(PayloadError, match="nothing but metrics"):
        make_reply(None, update(), METRIC_VALUES)
    with pytest.raises(PayloadError, match="expected exactly metrics"):
        read_reply(reply(), None)
    with pytest.raises(PayloadError, match="arrays"):
        read_reply(make_reply(None, None, METRIC_VALUES), LAYOUT)
    with pytest.raises(PayloadError, match="no update"):
        make_reply(LAYOUT, None, METRIC_VALUES)
    with pytest.raises(PayloadError, match="threshold"):
        make_reply(None, None, {**METRIC_VALUES, "threshold": 0.5})
