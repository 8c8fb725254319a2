"""Checkpoints: what is written comes back, equal models give equal bytes, damage of any kind is noticed."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
import safetensors.torch
import torch

from fedfr_edge.errors import CheckpointError, WriteError
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import (
    GlobalModel,
    PersonalModel,
    cpu_state,
    load_global,
    load_personal,
    save_global,
    save_personal,
    tensors_sha256,
)

SPEC = BackboneSpec("iresnet18", dim=6, width=4, input_size=28)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


@pytest.fixture
def global_model() -> GlobalModel:
    proxies = torch.randn((5, 6), generator=generator())
    metadata = {"training_data_licence": "Œuvre © 2024", "note": "a\nb"}
    return GlobalModel(SPEC, cpu_state(build_backbone(SPEC, seed=1)), proxies, 3, metadata)


@pytest.fixture
def personal_model() -> PersonalModel:
    weight = torch.randn((6, 6), generator=generator())
    return PersonalModel(
        SPEC, cpu_state(build_backbone(SPEC, seed=1)), weight, torch.arange(6.0), 7, "client-03", {"k": "v"}
    )


def test_global_round_trip(tmp_path: Path, global_model: GlobalModel) -> None:
    path = tmp_path / "round_0003.safetensors"
    save_global(global_model, path)
    found = load_global(path)
    assert (found.spec, found.round, found.metadata) == (SPEC, 3, global_model.metadata)
    assert list(found.backbone) == list(global_model.backbone)
    assert all(torch.equal(found.backbone[name], value) for name, value in global_model.backbone.items())
    assert torch.equal(found.global_proxies, global_model.global_proxies)
    x = torch.randn((2, 3, 112, 112), generator=generator())
    built = found.build()
    assert not built.training
    with torch.no_grad():
        assert torch.equal(built(x), build_backbone(SPEC, seed=1).eval()(x))


def test_personal_round_trip(tmp_path: Path, personal_model: PersonalModel) -> None:
    path = tmp_path / "personal.safetensors"
    save_personal(personal_model, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = load_personal(path)
    assert (found.spec, found.round, found.client, found.metadata) == (SPEC, 7, "client-03", {"k": "v"})
    assert torch.equal(found.transform_weight, personal_model.transform_weight)
    f = torch.randn((3, 6), generator=generator())
    expected = f.double() @ personal_model.transform_weight.double().T + torch.arange(6.0).double()
    torch.testing.assert_close(found.build_transform()(f).double(), expected, rtol=0, atol=1e-5)


def test_equal_models_give_equal_bytes(tmp_path: Path, global_model: GlobalModel) -> None:
    save_global(global_model, tmp_path / "a")
    save_global(load_global(tmp_path / "a"), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_proxies_is_a_model_too(tmp_path: Path, global_model: GlobalModel) -> None:
    global_model.global_proxies = torch.empty((0, 6))
    save_global(global_model, tmp_path / "a")
    assert load_global(tmp_path / "a").global_proxies.shape == (0, 6)


def test_building_leaves_the_checkpoint_alone(global_model: GlobalModel) -> None:
    before = {name: value.clone() for name, value in global_model.backbone.items()}
    backbone = global_model.build().requires_grad_(True).train()
    optimizer = torch.optim.SGD(backbone.parameters(), lr=1.0)
    backbone(torch.randn((2, 3, 112, 112), generator=generator())).sum().backward()
    optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in global_model.backbone.items())


def test_a_copied_state_is_not_changed_by_training() -> None:
    backbone = build_backbone(SPEC)
    state = cpu_state(backbone)
    kept = state["net.fc.bias"].clone()
    with torch.no_grad():
        backbone.net.fc.bias.add_(1)
    assert torch.equal(state["net.fc.bias"], kept)


def test_every_damaged_byte_is_noticed(tmp_path: Path, global_model: GlobalModel) -> None:
    path = tmp_path / "a"
    save_global(global_model, path)
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    # Through the length, the header (apart from the spaces that pad it), the first and the last array.
    text = len(data[:header].rstrip(b" "))
    for position in [0, 3, *range(8, text, 37), header, header + 1001, len(data) - 1]:
        damaged = bytearray(data)
        damaged[position] ^= 0x15
        path.write_bytes(bytes(damaged))
        with pytest.raises(CheckpointError):
            load_global(path)
    for length in (0, 5, header - 1, header + 4, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            load_global(path)


def test_other_files(tmp_path: Path, global_model: GlobalModel, personal_model: PersonalModel) -> None:
    with pytest.raises(CheckpointError, match="check the path"):
        load_global(tmp_path / "none")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_global(tmp_path)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_global(tmp_path / "text")
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="no checkpoint of fedfr-edge"):
        load_global(tmp_path / "foreign")
    save_personal(personal_model, tmp_path / "personal")
    with pytest.raises(CheckpointError, match="kind personal; expected format 1, kind global"):
        load_global(tmp_path / "personal")
    save_global(global_model, tmp_path / "global")
    with pytest.raises(CheckpointError, match="kind global; expected format 1, kind personal"):
        load_personal(tmp_path / "global")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "has format 2"),
        ("round", "3", "'round'"),
        ("round", -1, "'round'"),
        ("sha256", None, "'sha256'"),
        ("round", 4, "is damaged"),
        ("metadata", {"training_data_licence": "free"}, "is damaged"),
        ("metadata", {"k": 1}, "no texts"),
        ("spec", {"name": "vgg"}, "describes no backbone of ours"),
        ("spec", {"name": "vgg", "dim": 6, "width": 4, "input_size": 28}, "no backbone is called 'vgg'"),
        ("spec", {"name": "iresnet18", "dim": 7, "width": 4, "input_size": 28}, "does not fit"),
        (
            "spec",
            {"name": "sphereface10", "dim": 6, "width": 4, "input_size": 28},
            "lacks backbone.net.layer1.0",
        ),
    ],
)
def test_headers_that_lie(
    tmp_path: Path, global_model: GlobalModel, key: str, value: object, message: str
) -> None:
    save_global(global_model, tmp_path / "a")
    with safetensors.safe_open(tmp_path / "a", framework="pt") as file:
        header = json.loads(file.metadata()["fedfr-edge"])
    tensors = safetensors.torch.load_file(tmp_path / "a")
    header[key] = value
    safetensors.torch.save_file(tensors, tmp_path / "a", metadata={"fedfr-edge": json.dumps(header)})
    with pytest.raises(CheckpointError, match=message):
        load_global(tmp_path / "a")


def test_a_header_that_is_no_json(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "a", metadata={"fedfr-edge": "{"})
    with pytest.raises(CheckpointError, match="damaged header"):
        load_global(tmp_path / "a")
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "a", metadata={"fedfr-edge": "[1]"})
    with pytest.raises(CheckpointError, match="expected format 1"):
        load_global(tmp_path / "a")


def test_a_model_that_does_not_fit_is_not_saved(
    tmp_path: Path, global_model: GlobalModel, personal_model: PersonalModel
) -> None:
    global_model.global_proxies = torch.zeros((5, 7))
    with pytest.raises(CheckpointError, match=r"global_proxies of shape \(5, 7\), expected \(any, 6\)"):
        save_global(global_model, tmp_path / "a")
    personal_model.transform_bias = torch.zeros(6, dtype=torch.float64)
    with pytest.raises(CheckpointError, match=r"transform\.bias as torch\.float64"):
        save_personal(personal_model, tmp_path / "a")
    del personal_model.backbone["net.fc.bias"]
    with pytest.raises(CheckpointError, match=r"lacks backbone\.net\.fc\.bias"):
        save_personal(personal_model, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CheckpointError, match="do not fit iresnet18"):
        personal_model.build()


def test_a_failed_write_keeps_the_earlier_file(
    tmp_path: Path, global_model: GlobalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    save_global(global_model, path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        save_global(global_model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_digest_by_hand() -> None:
    tensors = {"b": torch.tensor([[1.0, -2.0]]), "a": torch.tensor(3)}
    text = b"a\0torch.int64\0()\0" + (3).to_bytes(8, "little")
    text += b"b\0torch.float32\0(1, 2)\0" + bytes.fromhex("0000803f000000c0")
    assert tensors_sha256(tensors) == hashlib.sha256(text).hexdigest()
    assert tensors_sha256({"b": tensors["b"].T.contiguous().T, "a": tensors["a"]}) == tensors_sha256(tensors)
