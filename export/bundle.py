"""The files of one exported model: what was written, and writing all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedfr_edge import atomic
from fedfr_edge.recognition.manifest import Manifest, Precision, Threshold

from .variants import Variant


@dataclass(frozen=True)
class Exported:
    """One .onnx file of a bundle.

    Attributes:
        path: where it is.
        bytes: its size.
        sha256: of the file; templates are bound to it.
        manifest: what the file says about itself.
        measured: how it did in comparison.
    """

    path: Path
    bytes: int
    sha256: str
    manifest: Manifest
    measured: Variant


@dataclass(frozen=True)
class ExportReport:
    """What was written and how well it agrees with torch.

    Attributes:
        path: the first .onnx file, float32 unless only the recommended one was written.
        bytes: its size.
        max_abs_difference: largest difference of a component of the float32 graph to torch, over
            ``faces_compared`` images.
        lowest_cosine: lowest cosine between torch's and the float32 graph's vector of one image.
        faces_compared: images of noise and, where the export was calibrated, public faces.
        public_faces: how many of them are public faces.
        seconds: what the export took.
        manifest: what that first file says about itself.
        files: all .onnx files of the bundle.
        rejected: variants that were measured or tried, and not kept.
        recommended: which precision to use here.
        judged: on whose faces accuracy was measured, in words; empty where it was not.
        judged_far: at which FAR.
        package: the insightface package's folder, if there is one.
        removed: variants of an earlier bundle of this name, which do not belong to this one.
    """

    path: Path
    bytes: int
    max_abs_difference: float
    lowest_cosine: float
    faces_compared: int
    public_faces: int
    seconds: float
    manifest: Manifest
    files: tuple[Exported, ...]
    rejected: tuple[Variant, ...] = ()
    recommended: Precision = "fp32"
    judged: str = ""
    judged_far: float = 0.0
    package: Path | None = None
    removed: tuple[Path, ...] = ()

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The first file's thresholds, by falling false accept rate; empty if not calibrated."""
        return self.manifest.thresholds


def file_of(path: Path, precision: Precision) -> Path:
    """Where a bundle keeps ``precision``; ``path`` is its float32 file."""
    return path if precision == "fp32" else path.with_name(f"{path.stem}.{precision}.onnx")


def write_all(contents: Mapping[Path, bytes], path: Path, mode: int) -> tuple[Path, ...]:
    """Write all files of a bundle or none; then drop variants that an earlier bundle left at ``path``.

    Args:
        contents: bytes by file.
        path: the bundle's first file.
        mode: permissions of the files.

    Returns:
        the files that were dropped.

    Raises:
        WriteError: the disk refused; earlier files are untouched.
    """
    staged: dict[Path, Path] = {}
    try:
        for file, data in contents.items():
            staged[file] = file.with_name(f".{file.name}.staged")
            atomic.write_bytes(staged[file], data, mode=mode)
        for file, waiting in staged.items():
            with atomic.write_errors(file):
                waiting.replace(file)
            atomic.sync_folder(file.parent)
    finally:
        for waiting in staged.values():
            waiting.unlink(missing_ok=True)
    variants: tuple[Precision, ...] = ("fp16", "int8")
    old = [file for one in variants if (file := file_of(path, one)).exists() and file not in contents]
    for file in old:
        file.unlink()
    return tuple(old)
