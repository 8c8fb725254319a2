"""The messages between server and clients, and the guard that stands at both doors.

What a message may hold depends on the method: Θ always; Φ where public faces are used (0 rows otherwise);
W only in FedFace, and only if the client's own site agreed; in a second stage a reply holds no array at all.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedfr_edge.config import as_dict, resolve
from fedfr_edge.errors import ConfigError, PayloadError
from fedfr_edge.federation.layout import PHI, PROXIES, Arrays, Layout, pack, unpack
from fedfr_edge.train.backbones.spec import BackboneSpec
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.client import METRICS, ClientUpdate
from fedfr_edge.train.config import TrainConfig
from fedfr_edge.train.half_precision import from_change, to_change

FORMAT = 1
_INSTRUCTION_TYPES = {
    "format": int,
    "server-round": int,
    "federation": str,
    "seed": int,
    "layout": str,
    "spec": str,
    "settings": str,
    "metadata": str,
}
# Whole numbers that every reply states, and their least value; the first two weigh the update.
_COUNTS = {"images": 1, "hard_negatives": 0, "steps": 0}
# numpy's header of a small array; a longer one has room for something that is not the array.
_NPY_HEADER = 128


@dataclass(frozen=True)
class Instruction:
    """What the server asks of a client for one round.

    Attributes:
        round: the server's number of the round, from 1; it is authoritative.
        federation: id of the federation, which owns the client's private state.
        seed: the run's seed.
        settings: hyper-parameters.
        model: Θ and Φ at the start of the round; Φ has 0 rows where the method uses no public faces.
        proxies: this client's own W, float32 (Kl, d), where the server has spread it out (FedFace).
    """

    round: int
    federation: str
    seed: int
    settings: TrainConfig
    model: GlobalModel
    proxies: torch.Tensor | None = None


def make_instruction(instruction: Instruction) -> RecordDict:
    """The message content of an :class:`Instruction`; :func:`read_instruction` reads it back.

    Raises:
        PayloadError: the model does not fit its own spec.
    """
    model = instruction.model
    layout = Layout.of(model.spec, model.global_proxies.shape[0])
    arrays = pack(layout, model.backbone, model.global_proxies)
    config = ConfigRecord(instruction_config(instruction))
    content = RecordDict({"arrays": _record(arrays), "config": config})
    return content if instruction.proxies is None else with_proxies(content, instruction.proxies)


def instruction_config(instruction: Instruction) -> dict[str, Any]:
    """The part of an instruction that is not arrays; :func:`read_config` reads it."""
    model = instruction.model
    layout = Layout.of(model.spec, model.global_proxies.shape[0])
    return {
        "format": FORMAT,
        "server-round": instruction.round,
        "federation": instruction.federation,
        "seed": instruction.seed,
        "layout": layout.digest,
        "spec": json.dumps(model.spec.to_dict()),
        "settings": json.dumps(as_dict(instruction.settings)),
        "metadata": json.dumps(model.metadata),
    }


def with_proxies(content: RecordDict, proxies: torch.Tensor) -> RecordDict:
    """The content of :func:`make_instruction` with one client's W in it; Θ and Φ are shared, not copied."""
    arrays = {**content["arrays"], PROXIES: Array(proxies.numpy())}
    return RecordDict({"arrays": ArrayRecord(arrays), "config": content["config"]})


def read_instruction(content: RecordDict) -> Instruction:
    """Read and check what the server sent.

    Raises:
        PayloadError: anything missing, unknown, of another type, or not fitting the spec.
    """
    _check_names(content, {"arrays": ArrayRecord, "config": ConfigRecord}, "the server's message")
    config = dict(content["config"])
    # Kg is the server's to say; everything else follows from the spec.
    layout, spec, settings, metadata = read_config(config, _rows(content, PHI))
    if settings.shares_proxies and PROXIES in content["arrays"]:
        layout = dataclasses.replace(layout, people=_rows(content, PROXIES))
    arrays = _read_arrays(content["arrays"], layout, "the server's message")
    backbone, phi = unpack(layout, arrays)
    model = GlobalModel(spec, backbone, phi, round=config["server-round"] - 1, metadata=metadata)
    own = torch.from_numpy(arrays[PROXIES].copy()) if PROXIES in arrays else None
    return Instruction(config["server-round"], config["federation"], config["seed"], settings, model, own)


def read_config(
    config: Mapping[str, Any], classes: int
) -> tuple[Layout, BackboneSpec, TrainConfig, dict[str, str]]:
    """The part of an instruction that is not arrays: layout, spec, settings and the model's metadata.

    Args:
        config: the message's ``config`` record.
        classes: Kg, the rows of Φ that travels.

    Raises:
        PayloadError: another message format, a field or setting that is missing, unknown or of another
            type, or another layout of the same spec: the two sides are of different versions.
    """
    if {key: type(value) for key, value in config.items()} != _INSTRUCTION_TYPES:
        raise PayloadError(
            f"the server's message is configured by {sorted(config)}, expected exactly "
            f"{sorted(_INSTRUCTION_TYPES)} with their types; update fedfr-edge on both sides"
        )
    if config["format"] != FORMAT:
        raise PayloadError(
            f"the server speaks message format {config['format']}, this client {FORMAT}; "
            "update fedfr-edge on both sides"
        )
    try:
        spec = BackboneSpec.from_dict(json.loads(config["spec"]))
        settings = _read_settings(json.loads(config["settings"]))
        metadata = {str(key): str(value) for key, value in json.loads(config["metadata"]).items()}
    except (ValueError, AttributeError, ConfigError) as error:
        raise PayloadError(
            f"the server's message cannot be understood: {error}; update fedfr-edge on both sides"
        ) from error
    layout = Layout.of(spec, classes)
    if layout.digest != config["layout"]:
        raise PayloadError(
            f"the server packs {spec} in another layout than this client ({config['layout'][:12]}… against "
            f"{layout.digest[:12]}…); update fedfr-edge on both sides"
        )
    return layout, spec, settings, metadata


def check_agreed(settings: TrainConfig, agreed: bool) -> None:
    """Stop before any training where the server asks for W and this client's own site has not agreed.

    Raises:
        PayloadError: that is so; says what would leave and what to set.
    """
    if settings.shares_proxies and not agreed:
        raise PayloadError(
            f"method {settings.method} sends W (local_proxies) to the server: for each person of this client "
            "a vector that stands for that person's face. It stays here until this client agrees: "
            "share-proxies=true in the node config, --share-proxies on fedfr train"
        )


def make_reply(
    layout: Layout | None,
    update: ClientUpdate | None,
    metrics: Mapping[str, float],
    start: GlobalModel | None = None,
) -> RecordDict:
    """The message content of a client's update, already past the guard.

    Args:
        layout: of the arrays that may leave; its ``people`` is set only where W was agreed to leave. None
            in a second stage, where no array may.
        update: what leaves; None in a second stage.
        metrics: see :data:`.client.METRICS`.
        start: the instruction's model; a layout of float16 needs it.

    Raises:
        PayloadError: as :func:`read_reply`; nothing may leave then.
        NonFiniteError: the update cannot be told in float16.
    """
    if (layout is None) != (update is None):
        raise PayloadError(
            "a second stage gave an update, expected nothing but metrics to leave; refused"
            if layout is None
            else "the round gave no update, expected Θ and Φ; update fedfr-edge on both sides"
        )
    numbers = {name: int(value) if name in _COUNTS else float(value) for name, value in metrics.items()}
    if layout is None or update is None:
        content = RecordDict({"metrics": MetricRecord(numbers)})
    else:
        sent = update if layout.floats == "float32" else to_change(update, _needed(start))
        arrays = pack(layout, sent.backbone, sent.global_proxies, sent.local_proxies)
        # "images" is what weighs the update: it must be the update's own count.
        record = MetricRecord({**numbers, "images": update.images})
        content = RecordDict({"arrays": _record(arrays), "metrics": record})
    guard(content, layout)
    return content


def guard(content: RecordDict, layout: Layout | None) -> Arrays:
    """Let pass exactly what may leave a client: the arrays of ``layout``, and scalars of a fixed list.

    Those arrays are Θ and Φ, and W if ``layout.people`` says that it was agreed to; none if it is None.

    Returns:
        the packed arrays (views of the message's bytes).

    Raises:
        PayloadError: another record, array, shape, dtype or metric; bytes beyond an array; a value that
            is not finite; an image count below 1.
    """
    records: dict[str, type] = {"metrics": MetricRecord}
    _check_names(
        content, records if layout is None else {"arrays": ArrayRecord} | records, "a client's reply"
    )
    metrics = content["metrics"]
    for name, value in metrics.items():
        if name not in METRICS or type(value) not in (int, float):
            raise PayloadError(
                f"a client's reply holds the metric {name!r} ({type(value).__name__}), allowed are numbers "
                f"called {', '.join(METRICS)}; nothing else may leave a client"
            )
        if not math.isfinite(value):
            raise PayloadError(f"a client's reply holds {name} = {value}, expected a finite number; refused")
    for name, least in _COUNTS.items():
        count = metrics.get(name)
        if type(count) is not int or count < least:
            raise PayloadError(
                f"a client's reply has {name} = {count!r}, expected a whole number from {least} on; refused"
            )
    if layout is None:
        return {}
    arrays = _read_arrays(content["arrays"], layout, "a client's reply")
    for key, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise PayloadError(
                f"a client's {key} holds {bad} values that are not finite; refused, lower the learning rate"
            )
    return arrays


def read_reply(
    content: RecordDict,
    layout: Layout | None,
    *,
    shares_proxies: bool = False,
    start: GlobalModel | None = None,
) -> tuple[ClientUpdate | None, dict[str, float]]:
    """A client's update and metrics out of a reply that passed :func:`guard`.

    Args:
        content: of the reply.
        layout: of Θ and Φ; None in a second stage, whose update is None too.
        shares_proxies: W must be there too, of as many people as the client has.
        start: the model that was sent to the client; a layout of float16 needs it.

    Raises:
        PayloadError: see :func:`guard`.
    """
    if layout is not None and shares_proxies:
        people = _rows(content, PROXIES)
        if people < 1:
            raise PayloadError("a client's reply holds no row of W, expected one for each of its people")
        layout = dataclasses.replace(layout, people=people)
    arrays, metrics = guard(content, layout), dict(content["metrics"])
    if layout is None:
        return None, metrics
    backbone, phi = unpack(layout, arrays)
    own = torch.from_numpy(arrays[PROXIES].copy()) if PROXIES in arrays else None
    update = ClientUpdate(backbone, phi, metrics["images"], own)
    return update if layout.floats == "float32" else from_change(update, _needed(start)), metrics


def _needed(start: GlobalModel | None) -> GlobalModel:
    if start is None:
        raise PayloadError("an update in float16 is a change of a model that was not given")
    return start


def _rows(content: RecordDict, key: str) -> int:
    """How many rows an array claims to have, 0 if it is not there; :func:`_read_exactly` checks the claim."""
    record = content.get("arrays")
    shape = tuple(record[key].shape) if isinstance(record, ArrayRecord) and key in record else ()
    return int(shape[0]) if shape else 0


def _record(arrays: Arrays) -> ArrayRecord:
    return ArrayRecord({key: Array(array) for key, array in arrays.items()})


def _check_names(content: RecordDict, expected: Mapping[str, type], whose: str) -> None:
    found = {name: type(record) for name, record in content.items()}
    if found != expected:
        listed = ", ".join(f"{name} ({kind.__name__})" for name, kind in sorted(found.items()))
        raise PayloadError(f"{whose} holds {listed or 'nothing'}, expected exactly {' and '.join(expected)}")


def _read_arrays(record: ArrayRecord, layout: Layout, whose: str) -> Arrays:
    expected = layout.expected()
    if set(record) != set(expected):
        raise PayloadError(
            f"{whose} holds the arrays {sorted(record)}, expected exactly {sorted(expected)}; "
            "nothing else may travel"
        )
    return {key: _read_exactly(record[key], key, *expected[key], whose) for key in expected}


def _read_exactly(array: Array, key: str, dtype: str, shape: tuple[int, ...], whose: str) -> npt.NDArray[Any]:
    """The array's values, if its bytes hold a plain npy array of that dtype and shape and nothing more."""
    file = io.BytesIO(array.data)
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0) or array.stype != "numpy.ndarray":
            raise ValueError(f"npy version {version} as {array.stype}")
        found_shape, column_major, found_dtype = np.lib.format.read_array_header_1_0(file)
    except ValueError as error:
        raise PayloadError(f"{key} of {whose} is no plain numpy array ({error}); refused") from error
    start = file.tell()
    wanted = np.dtype(dtype).newbyteorder("<")
    if (found_shape, found_dtype, array.dtype, tuple(array.shape)) != (shape, wanted, dtype, shape) or (
        column_major and len(shape) > 1
    ):
        raise PayloadError(
            f"{key} of {whose} is {found_dtype} of shape {found_shape}, expected {dtype} of shape {shape}; "
            "server and client must hold the same backbone and the same public identities"
        )
    size = math.prod(shape) * wanted.itemsize
    if start > _NPY_HEADER or len(array.data) != start + size:
        raise PayloadError(
            f"{key} of {whose} is {len(array.data)} bytes long, expected {size} after a header of at most "
            f"{_NPY_HEADER}; what does not belong to the array may not travel"
        )
    return np.frombuffer(array.data, wanted, offset=start).reshape(shape)


def _read_settings(values: Any) -> TrainConfig:
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    if not isinstance(values, dict) or set(values) != known:
        odd = sorted(set(values) ^ known) if isinstance(values, dict) else values
        raise ConfigError(f"settings differ in {odd}")
    return resolve(TrainConfig, "train", None, values)
