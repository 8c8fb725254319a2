"""The torch encoder against a float64 calculation of the same embedding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedfr_edge.errors import ConfigError, NonFiniteError
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel, cpu_state
from fedfr_edge.train.encoder import TorchEncoder

SPEC = BackboneSpec("sphereface10", dim=10, width=4, input_size=28)


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    faces = np.random.default_rng(0).integers(0, 256, (7, 112, 112, 3), np.uint8)
    faces.flags.writeable = False
    return faces


@pytest.fixture(scope="module")
def global_model() -> GlobalModel:
    return GlobalModel(SPEC, cpu_state(build_backbone(SPEC, seed=1)), torch.zeros((0, 10)))


@pytest.fixture(scope="module")
def personal_model(global_model: GlobalModel) -> PersonalModel:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn((10, 10), generator=generator)
    bias = 0.1 * torch.randn(10, generator=generator)
    return PersonalModel(SPEC, global_model.backbone, weight, bias, 1, "client-00")


def features(faces: np.ndarray) -> np.ndarray:
    backbone = build_backbone(SPEC, seed=1).double().eval()
    x = (faces.astype(np.float64) / 255 - 0.5) / 0.5
    with torch.no_grad():
        return backbone(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.sqrt((values**2).sum(1, keepdims=True))


def test_generic(global_model: GlobalModel, faces: np.ndarray) -> None:
    encoder = TorchEncoder(global_model, name="generic", batch=3)
    assert (encoder.name, encoder.dim) == ("generic", 10)
    found = encoder.embed(faces)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, unit(features(faces)), atol=1e-6)


def test_mirror_average(global_model: GlobalModel, faces: np.ndarray) -> None:
    found = TorchEncoder(global_model, name="g", flip=True).embed(faces)
    np.testing.assert_allclose(found, unit(features(faces) + features(faces[:, :, ::-1])), atol=1e-6)


def test_personal(personal_model: PersonalModel, faces: np.ndarray) -> None:
    weight = personal_model.transform_weight.double().numpy()
    bias = personal_model.transform_bias.double().numpy()
    found = TorchEncoder(personal_model, name="p").embed(faces)
    np.testing.assert_allclose(found, unit(features(faces) @ weight.T + bias), atol=1e-6)
    both = (features(faces) + features(faces[:, :, ::-1])) / 2
    found = TorchEncoder(personal_model, name="p", flip=True).embed(faces)
    np.testing.assert_allclose(found, unit(both @ weight.T + bias), atol=1e-6)
    found = TorchEncoder(personal_model, name="p", use_transform=False).embed(faces)
    np.testing.assert_allclose(found, unit(features(faces)), atol=1e-6)


def test_batches_do_not_matter_and_none_is_fine(global_model: GlobalModel, faces: np.ndarray) -> None:
    whole = TorchEncoder(global_model, name="g", batch=7).embed(faces)
    single = TorchEncoder(global_model, name="g", batch=1).embed(faces)
    np.testing.assert_allclose(whole, single, atol=1e-6)
    assert TorchEncoder(global_model, name="g").embed(faces[:0]).shape == (0, 10)


def test_running_statistics_stay(faces: np.ndarray) -> None:
    spec = BackboneSpec("iresnet18", dim=8, width=4, input_size=28)
    model = GlobalModel(spec, cpu_state(build_backbone(spec)), torch.zeros((0, 8)))
    encoder = TorchEncoder(model, name="g")
    assert np.array_equal(encoder.embed(faces), encoder.embed(faces))


def test_bad_input(global_model: GlobalModel, faces: np.ndarray) -> None:
    encoder = TorchEncoder(global_model, name="g")
    with pytest.raises(ConfigError, match="expected uint8"):
        encoder.embed(faces.astype(np.float32))
    with pytest.raises(ConfigError, match="align them first"):
        encoder.embed(faces[:, :96])
    with pytest.raises(ConfigError, match="batch is 0"):
        TorchEncoder(global_model, name="g", batch=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_a_diverged_model_is_named(global_model: GlobalModel, faces: np.ndarray, value: float) -> None:
    broken = dict(global_model.backbone)
    broken["net.fc.weight"] = torch.full_like(broken["net.fc.weight"], value)
    with pytest.raises(NonFiniteError, match="7 of 7 faces"):
        TorchEncoder(GlobalModel(SPEC, broken, torch.zeros((0, 10))), name="g").embed(faces)
