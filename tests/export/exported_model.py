"""A model and the file that was exported from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from fedfr_edge.export.write import ExportReport
from fedfr_edge.train.checkpoint import GlobalModel, PersonalModel


@dataclass
class Export:
    model: GlobalModel | PersonalModel
    report: ExportReport

    @property
    def path(self) -> Path:
        return self.report.path

    def graph(self) -> onnx.ModelProto:
        """The exported graph as it was before the manifest."""
        proto = onnx.load(self.path)
        del proto.metadata_props[:]
        return proto
