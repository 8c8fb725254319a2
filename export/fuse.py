"""What an exported model computes, as one torch module: normalise, pool, embed, and scale to unit length."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fedfr_edge.recognition.manifest import BACKBONE_EMBEDDING, EMBEDDING
from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel


class FusedModel(nn.Module):
    """uint8 (n, 112, 112, 3) RGB faces to unit embeddings, float32 (n, d) each.

    With f = Θ((x − 127.5) / 127.5): a generic model gives f / ‖f‖; a personal one gives Π(f) / ‖Π(f)‖ and,
    as a second output, f / ‖f‖.

    Attributes:
        outputs: names of the outputs, in order.
    """

    def __init__(self, model: GlobalModel | PersonalModel) -> None:
        super().__init__()
        self.backbone = model.build()
        self.transform = model.build_transform() if isinstance(model, PersonalModel) else None
        self.outputs = (EMBEDDING,) if self.transform is None else (EMBEDDING, BACKBONE_EMBEDDING)
        self.eval().requires_grad_(False)

    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        """Embed a batch; one tensor for each of ``outputs``."""
        # normalise() of the backbone, whose shape checks a tracer cannot follow.
        x = (faces.permute(0, 3, 1, 2).float() - 127.5) * (1 / 127.5)
        features = self.backbone(x)
        if self.transform is None:
            return (F.normalize(features),)
        return F.normalize(self.transform(features)), F.normalize(features)


def describe_preprocessing(pooling: int) -> str:
    """What the graph does to its input, in words for the manifest."""
    text = "RGB uint8 faces, 112x112, aligned to ArcFace's five-point template; inside: (x - 127.5) / 127.5"
    return text if pooling == 1 else f"{text}, then {pooling}x{pooling} average pooling"
