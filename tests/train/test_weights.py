"""Loading published weights: two file kinds, wrappers' prefixes, and messages that name what does not fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from fedfr_edge.errors import CheckpointError
from fedfr_edge.train.backbones.backbone import Backbone, build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.backbones.weights import load_weights
from fedfr_edge.train.checkpoint import GlobalModel, cpu_state, save_global

SPEC = BackboneSpec("iresnet18", dim=8, width=4, input_size=28)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    return build_backbone(SPEC, seed=1).net.state_dict()


@pytest.fixture
def backbone() -> Backbone:
    return build_backbone(SPEC, seed=2)


def same(backbone: Backbone, state: dict[str, Tensor]) -> bool:
    mine = backbone.net.state_dict()
    return all(torch.equal(mine[name], state[name]) for name in state)


def test_a_plain_state_dict(tmp_path: Path, backbone: Backbone, published: dict[str, Tensor]) -> None:
    torch.save(published, tmp_path / "backbone.pth")
    load_weights(backbone, tmp_path / "backbone.pth")
    assert same(backbone, published)


def test_safetensors(tmp_path: Path, backbone: Backbone, published: dict[str, Tensor]) -> None:
    safetensors.torch.save_file(published, tmp_path / "w.safetensors")
    load_weights(backbone, tmp_path / "w.safetensors")
    assert same(backbone, published)


@pytest.mark.parametrize("prefix", ["module.", "net.", "module.net.", "_orig_mod."])
def test_prefixes(tmp_path: Path, backbone: Backbone, published: dict[str, Tensor], prefix: str) -> None:
    torch.save({prefix + name: value for name, value in published.items()}, tmp_path / "w.pt")
    load_weights(backbone, tmp_path / "w.pt")
    assert same(backbone, published)


def test_a_checkpoint_of_ours(tmp_path: Path, backbone: Backbone) -> None:
    other = build_backbone(SPEC, seed=1)
    save_global(GlobalModel(SPEC, cpu_state(other), torch.randn(3, 8)), tmp_path / "round_0001.safetensors")
    load_weights(backbone, tmp_path / "round_0001.safetensors")
    assert same(backbone, other.net.state_dict())


def test_what_does_not_fit_is_named(tmp_path: Path, backbone: Backbone, published: dict[str, Tensor]) -> None:
    before = cpu_state(backbone)
    wrong = dict(published)
    del wrong["layer1.0.conv1.weight"]
    wrong["head.weight"] = torch.zeros(2)
    wrong["fc.weight"] = torch.zeros(8, 3)
    torch.save(wrong, tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as caught:
        load_weights(backbone, tmp_path / "w.pth")
    message = str(caught.value)
    assert "missing layer1.0.conv1.weight" in message
    assert "unexpected head.weight" in message
    assert "fc.weight has shape (8, 3), expected (8, 128)" in message
    after = backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_network_gives_a_short_message(tmp_path: Path, backbone: Backbone) -> None:
    other = build_backbone(BackboneSpec("mobilefacenet", dim=8, width=4, input_size=28))
    torch.save(other.net.state_dict(), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"and \d+ more; choose the backbone") as caught:
        load_weights(backbone, tmp_path / "w.pth")
    assert len(str(caught.value)) < 600


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, backbone: Backbone) -> None:
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="cannot read weights"):
        load_weights(backbone, tmp_path / "w.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", bytes(range(256)) * 40])
def test_files_that_hold_no_weights(tmp_path: Path, backbone: Backbone, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot read weights"):
        load_weights(backbone, tmp_path / name)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_cut_short(
    tmp_path: Path, backbone: Backbone, published: dict[str, Tensor], name: str
) -> None:
    save = torch.save if name == "w.pth" else safetensors.torch.save_file
    save(published, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cannot read weights"):
        load_weights(backbone, tmp_path / name)


def test_a_missing_file_and_a_training_checkpoint(tmp_path: Path, backbone: Backbone) -> None:
    with pytest.raises(CheckpointError, match="cannot read weights"):
        load_weights(backbone, tmp_path / "none.pth")
    torch.save({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="a dict with 'state_dict', 'epoch'"):
        load_weights(backbone, tmp_path / "w.pth")
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="a list"):
        load_weights(backbone, tmp_path / "w.pth")
