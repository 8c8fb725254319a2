"""A torch model as an encoder: aligned faces in, unit embeddings out, for evaluation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from fedfr_edge.errors import ConfigError, NonFiniteError
from fedfr_edge.train.backbones.backbone import normalise
from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel
from fedfr_edge.types import FACE_SIZE, AlignedFaces, Embeddings


class TorchEncoder:
    """An encoder (:class:`fedfr_edge.types.Encoder`) that runs a checkpoint with torch.

    The embedding is f / ‖f‖ with f = Θ(x), or Π(f) / ‖Π(f)‖ for a personal model with ``use_transform``.
    With ``flip``, f is the mean of the features of the face and of its mirror image.

    Args:
        model: its weights are copied.
        name: what to call it in tables.
        use_transform: for a personal model, apply Π_l: the embedding lies in the space of Eq. 6.
        flip: average over the mirror image (twice the work).
        batch: faces per step; bounds the memory.
        device: where to compute.

    Raises:
        CheckpointError: the weights do not fit the model's spec.
        ConfigError: ``batch`` below 1.
    """

    def __init__(
        self,
        model: GlobalModel | PersonalModel,
        *,
        name: str,
        use_transform: bool = True,
        flip: bool = False,
        batch: int = 256,
        device: str | torch.device = "cpu",
    ) -> None:
        if batch < 1:
            raise ConfigError(f"the encoder's batch is {batch}, expected at least 1; correct it")
        self._name = name
        self._flip = flip
        self._batch = batch
        self._device = torch.device(device)
        self._backbone = model.build(self._device).requires_grad_(False)
        self._transform = (
            model.build_transform(self._device)
            if isinstance(model, PersonalModel) and use_transform
            else None
        )

    @property
    def name(self) -> str:
        """What to call it in tables."""
        return self._name

    @property
    def dim(self) -> int:
        """Length d of an embedding."""
        return self._backbone.spec.dim

    def embed(self, faces: AlignedFaces) -> Embeddings:
        """Embed uint8 (n, 112, 112, 3) RGB faces as float32 (n, d) unit rows; n may be 0.

        Raises:
            ConfigError: another dtype or shape.
            NonFiniteError: the model gives NaN, infinite or zero features.
        """
        if faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[1:] != (FACE_SIZE, FACE_SIZE, 3):
            raise ConfigError(
                f"faces are {faces.dtype} of shape {faces.shape}, expected uint8 "
                f"(n, {FACE_SIZE}, {FACE_SIZE}, 3); align them first"
            )
        out = np.empty((len(faces), self.dim), np.float32)
        for start in range(0, len(faces), self._batch):
            rows = slice(start, start + self._batch)
            out[rows] = self._embed_batch(faces[rows])
        lengths = np.linalg.norm(out.astype(np.float64), axis=1)
        if not np.allclose(lengths, 1, atol=1e-3):
            raise NonFiniteError(
                f"{self._name} gives features that are not finite or all zero for "
                f"{int((~np.isclose(lengths, 1, atol=1e-3)).sum())} of {len(out)} faces, expected finite "
                "non-zero ones; the model is untrained or diverged, take another round"
            )
        return out

    @torch.inference_mode()
    def _embed_batch(self, faces: AlignedFaces) -> Embeddings:
        # A copy: a store's images are a read-only memory map, which torch cannot wrap.
        x = normalise(torch.from_numpy(np.array(faces)).to(self._device))
        features = self._backbone(x)
        if self._flip:
            features = (features + self._backbone(torch.flip(x, dims=[3]))) / 2
        if self._transform is not None:
            features = self._transform(features)
        embeddings: Embeddings = F.normalize(features).cpu().numpy()
        return embeddings
