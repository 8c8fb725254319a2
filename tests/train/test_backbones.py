"""Backbones: names and shapes of the published networks, their cost, their arithmetic, their start."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import numpy_networks
import pytest
import torch
from torch import nn

from fedfr_edge.errors import ConfigError
from fedfr_edge.train.backbones.backbone import Backbone, build_backbone, normalise, state_shapes
from fedfr_edge.train.backbones.spec import BACKBONES, INPUT_SIZES, BackboneSpec

# Parameters, entries of the state dict, and a few shapes of the public networks (d = 512, 112 pixels).
PUBLISHED = {
    "sphereface20": (24_501_952, 46, {"layer3.5.conv2.weight": (256, 256, 3, 3), "fc.weight": (512, 25088)}),
    "sphereface64": (
        49_726_656,
        130,
        {"layer3.17.prelu2.weight": (256,), "layer4.0.weight": (512, 256, 3, 3)},
    ),
    "iresnet18": (
        24_025_600,
        187,
        {"layer1.0.downsample.0.weight": (64, 64, 1, 1), "features.weight": (512,)},
    ),
    "iresnet34": (34_139_328, 331, {"layer2.3.bn1.running_var": (128,), "fc.weight": (512, 25088)}),
    "iresnet50": (43_590_848, 475, {"layer3.13.conv2.weight": (256, 256, 3, 3), "bn2.bias": (512,)}),
    "iresnet100": (65_156_160, 925, {"layer3.29.conv1.weight": (256, 256, 3, 3), "prelu.weight": (64,)}),
    "mobilefacenet": (
        2_059_520,
        333,
        {"layers.1.layers.0.weight": (128, 2, 3, 3), "features.layers.0.layers.0.weight": (512, 1, 7, 7)},
    ),
}
FAMILIES = {
    "sphereface20": numpy_networks.sphereface,
    "iresnet18": numpy_networks.iresnet,
    "mobilefacenet": numpy_networks.mobilefacenet,
}


def on_meta(spec: BackboneSpec) -> Backbone:
    with torch.device("meta"):
        return Backbone(spec)


def facts() -> dict[str, dict[str, object]]:
    """Names and shapes that the authors' own code gives, where the project's notes are at hand."""
    default = Path(__file__).resolve().parents[3] / "shared" / "facts"
    folder = Path(os.environ.get("FEDFR_FACTS", default))
    found: dict[str, dict[str, object]] = {}
    for file in folder.glob("*_state_dicts.json"):
        for name, entry in json.loads(file.read_text()).items():
            name = name.split(" ")[0]
            found[name.replace("sphere", "sphereface") if name.startswith("sphere") else name] = entry
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_of_the_published_network(name: str) -> None:
    count, entries, shapes = PUBLISHED[name]
    backbone = on_meta(BackboneSpec(name))
    assert sum(parameter.numel() for parameter in backbone.parameters()) == count
    state = backbone.net.state_dict()
    assert len(state) == entries
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_name_and_shape_in_order(name: str) -> None:
    if name not in facts():
        pytest.skip("no table of the published state dicts at hand (set FEDFR_FACTS to its folder)")
    expected = [(key, tuple(shape)) for key, shape in facts()[name]["state_dict"].items()]
    assert [
        (key, tuple(v.shape)) for key, v in on_meta(BackboneSpec(name)).net.state_dict().items()
    ] == expected


def multiply_adds(spec: BackboneSpec) -> int:
    """Multiply-adds of all convolutions and linear layers for one face, counted while they run."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal total
        per_output = module.weight[0].numel()
        total += output.numel() * per_output

    backbone = on_meta(spec)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    backbone.eval()(torch.empty((1, 3, 112, 112), device="meta"))
    return total


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("sphereface10", (0, 1, 2, 0)), ("sphereface20", (1, 2, 4, 1)), ("sphereface64", (3, 7, 16, 3))],
)
def test_cost_of_sphereface(name: str, blocks: tuple[int, ...]) -> None:
    expected, before, side = 0, 3, 112
    for stage, count in enumerate(blocks):
        channels, side = 64 * 2**stage, side // 2
        expected += side**2 * 9 * channels * (before + 2 * count * channels)
        before = channels
    expected += 512 * 7 * 7 * 512
    assert multiply_adds(BackboneSpec(name)) == expected
    if name == "sphereface64":
        assert expected == 6_896_791_552  # the 6.90 GMAC of the published network


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("size", [28, 56])
def test_forward_equals_a_float64_reference(name: str, size: int) -> None:
    spec = BackboneSpec(name, dim=5, width=2, input_size=size)
    backbone = build_backbone(spec, seed=3).eval()
    rng = np.random.default_rng(7)
    state = backbone.net.state_dict()
    for key, value in state.items():
        # Far from the start, so that every bias, slope and running statistic matters.
        if key.endswith("num_batches_tracked"):
            continue
        low, high = (0.5, 1.5) if key.endswith("running_var") else (-0.6, 0.7)
        value.copy_(torch.from_numpy(rng.uniform(low, high, value.shape)))
    x = rng.uniform(-1, 1, (2, 3, 112, 112))
    pool = 112 // size
    small = x.reshape(2, 3, size, pool, size, pool).mean((3, 5))
    expected = FAMILIES[name](small, numpy_networks.Weights({k: v.numpy() for k, v in state.items()}))
    with torch.no_grad():
        found = backbone.double()(torch.from_numpy(x)).numpy()
    assert found.shape == (2, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("name", BACKBONES)
def test_every_size_and_width(name: str) -> None:
    for size in INPUT_SIZES:
        backbone = on_meta(BackboneSpec(name, dim=24, width=6, input_size=size))
        assert backbone.eval()(torch.empty((2, 3, 112, 112), device="meta")).shape == (2, 24)


@pytest.mark.parametrize("name", ["sphereface10", "iresnet18", "mobilefacenet"])
def test_gradient_reaches_every_trained_parameter(name: str) -> None:
    backbone = build_backbone(BackboneSpec(name, dim=8, width=4, input_size=28))
    x = torch.randn((3, 3, 112, 112), generator=torch.Generator().manual_seed(0))
    backbone(x).square().sum().backward()
    fixed = [key for key, value in backbone.named_parameters() if not value.requires_grad]
    assert fixed == (["net.features.weight"] if name == "iresnet18" else [])
    for key, value in backbone.named_parameters():
        assert key in fixed or (value.grad is not None and value.grad.abs().sum() > 0), key


@pytest.mark.parametrize("name", ["sphereface10", "iresnet18", "mobilefacenet"])
def test_the_seed_alone_decides(name: str) -> None:
    spec = BackboneSpec(name, dim=8, width=4, input_size=28)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = build_backbone(spec, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    two = build_backbone(spec, seed=1).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not all(
        torch.equal(one[key], value) for key, value in build_backbone(spec, seed=2).state_dict().items()
    )


def test_start_of_sphereface() -> None:
    net = build_backbone(BackboneSpec("sphereface20", dim=64, width=16)).net
    residual = torch.cat(
        [m.weight.flatten() for m in net.modules() if isinstance(m, nn.Conv2d) and m.bias is None]
    )
    # 3 standard errors of a standard deviation of n samples: 3·σ/√(2n).
    assert abs(residual.std().item() - 0.01) < 3 * 0.01 / math.sqrt(2 * len(residual))
    assert all((m.weight == 0.25).all() for m in net.modules() if isinstance(m, nn.PReLU))
    bound = math.sqrt(6 / (128 * 49 + 64))
    assert 0.99 * bound < net.fc.weight.abs().max() <= bound
    assert (net.fc.bias == 0).all()
    first = net.layer1[0]
    assert first.weight.abs().max() <= math.sqrt(6 / (3 * 9 + 16 * 9))
    assert (first.bias == 0).all()


def test_start_of_the_batchnorm_networks() -> None:
    iresnet = build_backbone(BackboneSpec("iresnet18", dim=16, width=8, input_size=28)).net
    convs = torch.cat([m.weight.flatten() for m in iresnet.modules() if isinstance(m, nn.Conv2d)])
    assert abs(convs.std().item() - 0.1) < 3 * 0.1 / math.sqrt(2 * len(convs))
    mobile = build_backbone(BackboneSpec("mobilefacenet", dim=16, width=16, input_size=28)).net
    weight = mobile.layers[4].layers[2].layers[0].weight  # 1×1, 64 channels out: fan out 64
    assert abs(weight.std().item() - math.sqrt(2 / 64)) < 3 * math.sqrt(2 / 64) / math.sqrt(
        2 * weight.numel()
    )


def test_normalise() -> None:
    images = torch.zeros((2, 112, 112, 3), dtype=torch.uint8)
    images[0, 4, 9] = torch.tensor([0, 51, 255])
    out = normalise(images)
    assert out.shape == (2, 3, 112, 112)
    assert out.dtype == torch.float32
    expected = (torch.tensor([0, 51, 255], dtype=torch.float64) / 255 - 0.5) / 0.5
    torch.testing.assert_close(out[0, :, 4, 9].double(), expected, rtol=0, atol=1e-7)
    with pytest.raises(ConfigError, match="expected uint8"):
        normalise(images.permute(0, 3, 1, 2))
    with pytest.raises(ConfigError, match=r"torch\.float32"):
        normalise(images.float())


def test_spec_round_trip_and_text() -> None:
    spec = BackboneSpec("iresnet50", dim=128, width=16, input_size=56)
    assert BackboneSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert str(spec) == "iresnet50 (width 16, 56 px, d=128)"
    assert (spec.pooling, spec.final_side) == (2, 4)


@pytest.mark.parametrize(
    "values",
    [
        {"name": "resnet18"},
        {"dim": 0},
        {"width": 1.5},
        {"width": True},
        {"input_size": 64},
    ],
)
def test_a_spec_that_cannot_be(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        BackboneSpec(**values)


@pytest.mark.parametrize("values", [{}, {"name": "iresnet18"}, 3, None, {"a": 1}])
def test_a_description_that_is_none(values: object) -> None:
    with pytest.raises(ConfigError, match="found"):
        BackboneSpec.from_dict(values)


def test_shapes_without_allocating() -> None:
    state = torch.get_rng_state()
    shapes = state_shapes(BackboneSpec("iresnet18", dim=16, width=8, input_size=28))
    assert shapes["net.fc.weight"] == (16, 64 * 2 * 2)
    assert shapes["net.bn1.num_batches_tracked"] == ()
    assert torch.equal(torch.get_rng_state(), state)
