"""Opening what is to be evaluated: checkpoints, private folders and exported files, by one rule each.

torch is imported only for a checkpoint or a private folder. A personal model is a
:class:`~fedfr_edge.evaluation.embedding.SpacesEncoder` of two spaces, Θ_l alone and [Θ_l, Π_l].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfr_edge.errors import CheckpointError, ConfigError, MissingPartError, ModelError, PrivateStateError
from fedfr_edge.evaluation.embedding import OneSpace, SpacesEncoder
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.types import AlignedFaces, Embeddings, Encoder

from .device import open_encoder
from .file_digest import sha256_of

if TYPE_CHECKING:
    from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel

GENERIC = "Θ_g"
"""The generic model in tables, as in the paper's Table 3."""

SPACES = ("Θ_l", "[Θ_l, Π_l]")
"""A personal model's two embeddings in tables: its backbone alone, and with its transform."""


@dataclass(frozen=True)
class Backend:
    """What computes.

    Attributes:
        device: torch's name: cpu, cuda, cuda:1 …; exported files then need CUDA in onnxruntime, too.
        threads: CPU threads.
    """

    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Source:
    """Where a model came from, for the record beside the result.

    Attributes:
        path: the file.
        client: whose it is; None for a generic one.
        round: federated rounds behind it.
        sha256: of the file.
    """

    path: Path
    client: str | None
    round: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"path": str(self.path), "client": self.client, "round": self.round, "sha256": self.sha256}


def open_generic(path: Path, backend: Backend) -> tuple[SpacesEncoder, Source]:
    """A generic model: an exported ``.onnx`` or a global checkpoint ``.safetensors``.

    Raises:
        ConfigError: neither, or an exported personal model.
        CheckpointError, ModelError: it cannot be read; see their loaders.
    """
    if _is_onnx(path):
        encoder = _open_onnx(path, backend)
        manifest = encoder.manifest
        if manifest.kind != "generic":
            raise ConfigError(
                f"{path} is the personal model of {manifest.client}, expected a generic one; "
                f"give it as --personal {manifest.client}={path}"
            )
        return OneSpace(encoder, GENERIC), Source(path, None, manifest.round, encoder.digest)
    _need_torch(backend)
    from fedfr_edge.train.checkpoint import load_global
    from fedfr_edge.train.encoder import TorchEncoder

    model = load_global(path)
    encoder_of_torch = TorchEncoder(model, name=GENERIC, device=backend.device)
    return OneSpace(encoder_of_torch), Source(path, None, model.round, sha256_of(path))


def open_personals(
    paths: Mapping[str, Path], backend: Backend, round: int | None = None
) -> tuple[dict[str, SpacesEncoder], list[Source]]:
    """Personal models by client: exported files, personal checkpoints or private folders.

    Each is opened at once to be checked, and again when its turn comes: only one is in memory.

    Args:
        paths: client -> ``.onnx``, ``.safetensors`` or folder.
        backend: what computes.
        round: of private folders, the newest snapshot not after this round; None for the newest.

    Raises:
        ConfigError: a file of another kind, or of another client.
        CheckpointError, ModelError, PrivateStateError: it cannot be read; see their loaders.
    """
    slot = _Slot()
    models: dict[str, SpacesEncoder] = {}
    sources = []
    for client, path in sorted(paths.items()):
        _, source = _open_personal(client, path, backend, round)
        sources.append(source)
        models[client] = _Lazy(slot, client, partial(_reopen, client, path, backend, round))
    return models, sources


def open_for_pairs(path: Path, backend: Backend, name: str) -> list[Encoder]:
    """Every embedding that a file of any kind gives, as an encoder called ``name`` and after its space."""
    if _is_onnx(path):
        encoder = _open_onnx(path, backend)
        if encoder.manifest.kind == "generic":
            return [_Named(name, encoder.dim, encoder.embed)]
        return [
            _Named(f"{name} {SPACES[0]}", encoder.dim, encoder.embed_backbone),
            _Named(f"{name} {SPACES[1]}", encoder.dim, encoder.embed),
        ]
    _need_torch(backend)
    from fedfr_edge.train.encoder import TorchEncoder

    model = _load_any(path)
    if _is_generic(model):
        return [TorchEncoder(model, name=name, device=backend.device)]
    return [
        TorchEncoder(model, name=f"{name} {space}", use_transform=transform, device=backend.device)
        for space, transform in zip(SPACES, (False, True), strict=True)
    ]


class TorchSpaces:
    """A personal checkpoint's two embeddings from one pass of its backbone.

    Equal to two :class:`~fedfr_edge.train.encoder.TorchEncoder`, without and with the transform.
    """

    names = SPACES

    def __init__(self, model: PersonalModel, device: str, batch: int = 256) -> None:
        self._backbone = model.build(device).requires_grad_(False)
        self._transform = model.build_transform(device)
        self._device, self._batch = device, batch

    def embed_each(self, faces: AlignedFaces) -> tuple[Embeddings, ...]:
        """Embed ``uint8 (n, 112, 112, 3)`` faces as two ``float32 (n, d)`` arrays of unit rows."""
        import numpy as np
        import torch
        from torch.nn.functional import normalize

        from fedfr_edge.train.backbones.backbone import normalise

        plain, transformed = [], []
        with torch.inference_mode():
            for start in range(0, len(faces), self._batch):
                block = torch.from_numpy(np.array(faces[start : start + self._batch])).to(self._device)
                features = self._backbone(normalise(block))
                plain.append(normalize(features).cpu().numpy())
                transformed.append(normalize(self._transform(features)).cpu().numpy())
        return np.concatenate(plain), np.concatenate(transformed)


class OnnxSpaces:
    """An exported personal model's two outputs."""

    names = SPACES

    def __init__(self, encoder: OnnxEncoder) -> None:
        self._encoder = encoder

    def embed_each(self, faces: AlignedFaces) -> tuple[Embeddings, ...]:
        """Embed ``uint8 (n, 112, 112, 3)`` faces as two ``float32 (n, d)`` arrays of unit rows."""
        return self._encoder.embed_both(faces)


@dataclass(frozen=True)
class _Named:
    """An encoder made of a function."""

    name: str
    dim: int
    embed: Callable[[AlignedFaces], Embeddings]


class _Slot:
    """Holds one open model; opening another lets go of it first."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._model: SpacesEncoder | None = None

    def get(self, key: str, open_model: Callable[[], SpacesEncoder]) -> SpacesEncoder:
        if self._model is None or self._key != key:
            self._model = None
            self._model, self._key = open_model(), key
        return self._model


class _Lazy:
    """A personal model that is opened when it is first used."""

    names = SPACES

    def __init__(self, slot: _Slot, client: str, open_model: Callable[[], SpacesEncoder]) -> None:
        self._slot, self._client, self._open = slot, client, open_model

    def embed_each(self, faces: AlignedFaces) -> tuple[Embeddings, ...]:
        return self._slot.get(self._client, self._open).embed_each(faces)


def _open_personal(
    client: str, path: Path, backend: Backend, round: int | None
) -> tuple[SpacesEncoder, Source]:
    if not path.is_dir() and _is_onnx(path):
        encoder = _open_onnx(path, backend)
        manifest = encoder.manifest
        if manifest.kind != "personal":
            raise ConfigError(f"{path} is a generic model, expected the personal one of {client}")
        _check_owner(path, manifest.client, client)
        return OnnxSpaces(encoder), Source(path, client, manifest.round, encoder.digest)
    _need_torch(backend)
    if path.is_dir():
        model, file = _load_snapshot(path, round)
    else:
        from fedfr_edge.train.checkpoint import load_personal

        model, file = load_personal(path), path
    _check_owner(path, model.client, client)
    return TorchSpaces(model, backend.device), Source(file, client, model.round, sha256_of(file))


def _reopen(client: str, path: Path, backend: Backend, round: int | None) -> SpacesEncoder:
    return _open_personal(client, path, backend, round)[0]


def _load_snapshot(folder: Path, latest: int | None) -> tuple[PersonalModel, Path]:
    """The newest snapshot of a private folder that is not after round ``latest``."""
    from fedfr_edge.federation.private_state import load_personal_from, snapshots

    kept = snapshots(folder)
    fitting = [number for number in kept if latest is None or number <= latest]
    if kept and not fitting:
        raise PrivateStateError(
            f"{folder} keeps rounds {', '.join(map(str, kept))}, all after round {latest}; "
            "evaluate a later round"
        )
    model = load_personal_from(folder, fitting[-1] if fitting else None)
    return model, folder / f"round_{model.round:04d}.safetensors"


def _load_any(path: Path) -> GlobalModel | PersonalModel:
    from fedfr_edge.train.checkpoint import load_global, load_personal

    try:
        return load_global(path)
    except CheckpointError as error:
        try:
            return load_personal(path)
        except CheckpointError:
            raise error from None


def _is_generic(model: GlobalModel | PersonalModel) -> bool:
    return not hasattr(model, "transform_weight")


def _open_onnx(path: Path, backend: Backend) -> OnnxEncoder:
    return open_encoder(path, "cuda!" if backend.device.startswith("cuda") else "cpu", backend.threads)


def _is_onnx(path: Path) -> bool:
    if path.suffix not in (".onnx", ".safetensors"):
        raise ConfigError(
            f"{path} is no model file, expected an exported .onnx or a checkpoint .safetensors; "
            "correct the name"
        )
    if not path.is_file():
        raise ModelError(f"there is no model {path}; check the path")
    return path.suffix == ".onnx"


def _check_owner(path: Path, found: str | None, client: str) -> None:
    if found != client:
        raise ConfigError(
            f"{path} is the personal model of {found}, expected that of {client}; "
            f"give it as --personal {found}={path}"
        )


def _need_torch(backend: Backend) -> None:
    try:
        from fedfr_edge.train.threads import set_threads
    except ImportError as error:
        raise MissingPartError(
            f"a checkpoint needs torch and safetensors, which cannot be imported ({error}); install them "
            "with pip install 'fedfr-edge[train]', or evaluate exported .onnx files"
        ) from error
    set_threads(backend.threads)
