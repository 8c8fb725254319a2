"""What an exported model says about itself: a JSON text in the ONNX file's ``metadata_props``.

::

    {"format": 1, "kind": "personal", "name": "client-00 round 30", "client": "client-00",
     "round": 30, "dim": 512, "backbone": {"name": "sphereface20", ...},
     "preprocessing": "...", "outputs": ["embedding", "backbone_embedding"],
     "thresholds": {"1e-3": {"threshold": 0.41, "non_mated": 990000, "false_accepts": 990,
                             "source": "public identities of split ..."}},
     "training_data_licence": "...", "weights_sha256": "...", "versions": {"fedfr-edge": "..."},
     "precision": "fp32"}

Keys that this version does not know are ignored, so that a later writer can add some; a reader
that would misread a file must be stopped by a new ``format``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fedfr_edge.errors import ForeignModelError

MANIFEST_KEY = "fedfr.manifest"
"""The key in ``metadata_props``."""

FORMAT = 1
"""The manifest format that this version reads and writes."""

INPUT_NAME = "faces"
"""Name of a model's input: uint8 (n, 112, 112, 3), RGB, n dynamic."""

EMBEDDING = "embedding"
"""Name of the output that is compared: float32 (n, dim), unit rows."""

BACKBONE_EMBEDDING = "backbone_embedding"
"""A personal model's second output: its backbone without Π, float32 (n, dim), unit rows."""

DEFAULT_FAR = 1e-3
"""The false accept rate of one comparison where the user names none."""

MIN_FALSE_ACCEPTS = 10
"""A rate that rests on fewer false accepts than this is marked as unsupported."""

Precision = Literal["fp32", "fp16", "int8"]
"""What a graph computes in; inputs are uint8 and outputs float32 with each of them."""

_OUTPUTS = {"generic": (EMBEDDING,), "personal": (EMBEDDING, BACKBONE_EMBEDDING)}


@dataclass(frozen=True)
class Threshold:
    """A decision threshold on ``embedding`` cosines, and the trials that it rests on.

    Attributes:
        far: the false accept rate asked for, between 0 and 1, per comparison.
        threshold: a score ≥ this accepts; float32 precision.
        non_mated: how many comparisons of different identities were counted.
        false_accepts: how many of these score at least ``threshold``.
        source: whose faces they were.
    """

    far: float
    threshold: float
    non_mated: int
    false_accepts: int
    source: str

    @property
    def supported(self) -> bool:
        """Whether at least ten false accepts stand behind the rate."""
        return self.false_accepts >= MIN_FALSE_ACCEPTS


@dataclass(frozen=True)
class Manifest:
    """A model's description of itself.

    Attributes:
        kind: ``"generic"`` (Θ_g) or ``"personal"`` ([Θ_l, Π_l]).
        name: what to call the model in tables.
        round: federated rounds behind it (0: the pre-trained start).
        dim: length d of an embedding.
        backbone: the backbone's specification, as ``BackboneSpec.to_dict`` gives it.
        preprocessing: what the graph does to its uint8 RGB input, in words.
        client: whose model a personal one is; None for a generic one.
        thresholds: by falling FAR; empty if the model was not calibrated.
        training_data_licence: terms of the faces it learned from.
        weights_sha256: see :func:`fedfr_edge.recognition.encoder.weights_sha256`.
        versions: of the packages that made the file.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``: of the weights and the features inside.
    """

    kind: Literal["generic", "personal"]
    name: str
    round: int
    dim: int
    backbone: Mapping[str, Any]
    preprocessing: str
    weights_sha256: str
    client: str | None = None
    thresholds: tuple[Threshold, ...] = ()
    training_data_licence: str = "unknown"
    versions: Mapping[str, str] = field(default_factory=dict)
    precision: Precision = "fp32"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs that a model of this kind has, in order."""
        return _OUTPUTS[self.kind]

    def threshold_at(self, far: float) -> Threshold | None:
        """The threshold calibrated at exactly ``far``, or None."""
        for record in self.thresholds:
            if math.isclose(record.far, far, rel_tol=1e-9):
                return record
        return None

    def to_json(self) -> str:
        """The JSON text; :meth:`from_json` reads it back.

        Raises:
            ForeignModelError: a value that no reader would accept.
        """
        values: dict[str, Any] = {
            "format": FORMAT,
            "kind": self.kind,
            "name": self.name,
            "round": self.round,
            "dim": self.dim,
            "backbone": dict(self.backbone),
            "preprocessing": self.preprocessing,
            "outputs": list(self.outputs),
            "thresholds": {
                far_key(record.far): {
                    "threshold": record.threshold,
                    "non_mated": record.non_mated,
                    "false_accepts": record.false_accepts,
                    "source": record.source,
                }
                for record in self.thresholds
            },
            "training_data_licence": self.training_data_licence,
            "weights_sha256": self.weights_sha256,
            "versions": dict(self.versions),
            "precision": self.precision,
        }
        if self.client is not None:
            values["client"] = self.client
        _parse(values)
        return json.dumps(values, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, where: str = "the model") -> Manifest:
        """Parse and check a manifest.

        Args:
            text: the JSON text.
            where: how to call the file in messages.

        Raises:
            ForeignModelError: no JSON object, a format this version does not read, or a key that
                is missing or of the wrong kind.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ForeignModelError(f"{where}: its manifest is no JSON ({error}); export it again") from error
        try:
            return _parse(values)
        except ForeignModelError as error:
            raise ForeignModelError(f"{where}: {error}") from None


def far_key(far: float) -> str:
    """The key of a FAR in the manifest: ``0.001`` gives ``"1e-3"``, ``0.025`` gives ``"2.5e-2"``."""
    mantissa, exponent = f"{far:.12e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _parse(values: Any) -> Manifest:
    if not isinstance(values, dict):
        raise ForeignModelError("its manifest is no JSON object; export it again with 'fedfr export'")
    if values.get("format") != FORMAT:
        raise ForeignModelError(
            f"its manifest has format {values.get('format')!r}, this version reads {FORMAT}; "
            "export the model again or install the version of fedfr-edge that made it"
        )
    kind = _need(values, "kind", str, lambda value: value in _OUTPUTS, "generic or personal")
    client = values.get("client")
    if (kind == "personal") != (isinstance(client, str) and client != ""):
        raise _wrong("client", client, "the client's id in a personal model, nothing in a generic one")
    _need(values, "outputs", list, lambda value: tuple(value) == _OUTPUTS[kind], f"{list(_OUTPUTS[kind])}")
    thresholds = _need(values, "thresholds", dict)
    records = [_parse_threshold(key, value) for key, value in thresholds.items()]
    versions = _need(values, "versions", dict)
    precision = values.get("precision", "fp32")  # files from before there was a choice do not say
    if precision not in get_args(Precision):
        raise _wrong("precision", precision, "fp32, fp16 or int8")
    return Manifest(
        kind=kind,
        name=_need(values, "name", str, bool, "a name"),
        round=_need(values, "round", int, lambda value: value >= 0, "0 or more"),
        dim=_need(values, "dim", int, lambda value: value > 0, "a positive length"),
        backbone=_need(values, "backbone", dict),
        preprocessing=_need(values, "preprocessing", str),
        weights_sha256=_need(values, "weights_sha256", str, _is_sha256, "64 hexadecimal digits"),
        client=client,
        thresholds=tuple(sorted(records, key=lambda record: -record.far)),
        training_data_licence=_need(values, "training_data_licence", str),
        versions={str(key): str(value) for key, value in versions.items()},
        precision=precision,
    )


def _parse_threshold(key: str, values: Any) -> Threshold:
    try:
        far = float(key)
    except ValueError:
        far = math.nan
    if not 0 < far < 1 or not isinstance(values, dict):
        raise _wrong("thresholds", key, "false accept rates between 0 and 1, each with a record")
    trials = _need(values, "non_mated", int, lambda value: value > 0, "a positive count")
    return Threshold(
        far=far,
        # A threshold just above a score of 1 is possible: it refuses everything seen so far.
        threshold=float(_need(values, "threshold", (int, float), lambda x: abs(x) <= 1.01, "a cosine")),
        non_mated=trials,
        false_accepts=_need(
            values, "false_accepts", int, lambda value: 0 <= value <= trials, f"a count up to {trials}"
        ),
        source=_need(values, "source", str),
    )


def _need(
    values: Mapping[str, Any], key: str, kind: Any, check: Any = None, expected: str | None = None
) -> Any:
    value = values.get(key)
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if not fits or (check is not None and not check(value)):
        names = kind.__name__ if isinstance(kind, type) else "number"
        raise _wrong(key, value, expected or {"str": "a text", "dict": "an object"}.get(names, names))
    return value


def _is_sha256(value: str) -> bool:
    return len(value) == 64 and set(value) <= set("0123456789abcdef")


def _wrong(key: str, value: Any, expected: str) -> ForeignModelError:
    shown = repr(value)
    return ForeignModelError(
        f"manifest key {key!r} is {shown if len(shown) < 60 else shown[:57] + '...'}, expected {expected}; "
        "export the model again with 'fedfr export'"
    )
