"""One store, one split, and one export of each kind, shared by all tests here: tracing takes seconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exported_model import Export

from fedfr_edge.data.split import Split, make_split
from fedfr_edge.data.store import FaceStore, StoreWriter
from fedfr_edge.export.calibration import choose_faces
from fedfr_edge.export.write import export_generic, export_personal
from fedfr_edge.train.backbones.backbone import build_backbone
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel, cpu_state


@pytest.fixture(scope="session")
def faces() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (7, 112, 112, 3), np.uint8)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    """14 identities with 4 images each: blocks of colour with noise."""
    rng = np.random.default_rng(2)
    with StoreWriter(
        tmp_path_factory.mktemp("export") / "store", source="drawn", licence="CC0-1.0"
    ) as writer:
        for person in range(14):
            blocks = rng.integers(0, 200, (7, 7, 3)).repeat(16, 0).repeat(16, 1)
            for image in range(4):
                noise = rng.integers(0, 56, (112, 112, 3))
                writer.add((blocks + noise).astype(np.uint8), f"p{person:02}", f"p{person:02}/{image}")
        return writer.finish()


@pytest.fixture(scope="session")
def split(store: FaceStore) -> Split:
    return make_split(store, public=12, clients=2, per_client=1, train_images=2, test_images=2, seed=5)


@pytest.fixture(scope="session")
def generic(tmp_path_factory: pytest.TempPathFactory, store: FaceStore, split: Split) -> Export:
    spec = BackboneSpec("sphereface10", dim=16, width=4, input_size=28)
    backbone = build_backbone(spec, seed=1)
    with torch.no_grad():
        backbone.net.fc.bias.copy_(0.02 * torch.randn(16, generator=torch.Generator().manual_seed(2)))
    metadata = {"training_data_licence": "research only"}
    model = GlobalModel(spec, cpu_state(backbone), torch.zeros((0, 16)), 4, metadata)
    path = tmp_path_factory.mktemp("generic") / "generic.onnx"
    return Export(model, export_generic(model, path, calibration=choose_faces(store, split)))


@pytest.fixture(scope="session")
def personal(tmp_path_factory: pytest.TempPathFactory, store: FaceStore, split: Split) -> Export:
    spec = BackboneSpec("iresnet18", dim=12, width=4, input_size=56)
    backbone = build_backbone(spec, seed=1)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in backbone.net.state_dict().items():
            # Running statistics as after training, so that folding them is put to the test.
            if name.endswith("running_mean"):
                value.copy_(0.2 * torch.randn(value.shape, generator=generator))
            if name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    weight = torch.eye(12) + 0.2 * torch.randn((12, 12), generator=generator)
    bias = 0.1 * torch.randn(12, generator=generator)
    model = PersonalModel(spec, cpu_state(backbone), weight, bias, 9, "client-01")
    path = tmp_path_factory.mktemp("personal") / "personal.onnx"
    return Export(model, export_personal(model, path, calibration=choose_faces(store, split)))
