"""How long the files of one model take for one face, in turns within one run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedfr_edge.recognition.manifest import EMBEDDING, INPUT_NAME
from fedfr_edge.types import AlignedFaces

ROUNDS = 41
"""Measurements of each, unless they take longer than :data:`SECONDS` in all."""

SECONDS = 30.0
_LEAST_ROUNDS = 5
_WARM_UP = 2


@dataclass(frozen=True)
class Latency:
    """One face from uint8 to embedding, in one thread.

    Attributes:
        milliseconds: median.
        ratio: median of this file's time through the first one's, round by round: what else the machine
            does meanwhile hits both.
    """

    milliseconds: float
    ratio: float


def in_turns(sessions: Mapping[str, Any], face: AlignedFaces) -> dict[str, Latency]:
    """Time all ``sessions`` on ``face``, each once a round; the first is what the others are compared with.

    Args:
        sessions: name -> ``onnxruntime.InferenceSession``, opened with one thread.
        face: uint8 (1, 112, 112, 3).
    """
    names = list(sessions)
    times: dict[str, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + SECONDS
    for number in range(_WARM_UP + ROUNDS):
        # Whoever comes after a big network finds the caches cold: the order turns.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.perf_counter()
            sessions[name].run([EMBEDDING], {INPUT_NAME: face})
            taken = time.perf_counter() - started
            if number >= _WARM_UP:
                times[name].append(taken)
        if number >= _WARM_UP + _LEAST_ROUNDS and time.perf_counter() > end:
            break
    first = np.array(times[names[0]])
    return {
        name: Latency(float(1e3 * np.median(taken)), float(np.median(np.array(taken) / first)))
        for name, taken in times.items()
    }
