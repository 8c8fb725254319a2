"""The colours of people."""

from __future__ import annotations

import numpy as np

from fedfr_edge.data.synth.shapes import Array

EYE_COLOURS = ["2a1a14", "4a2e1c", "6e5428", "56703e", "4f7fae", "7d8c94"]
"""Dark brown, brown, hazel, green, blue, grey (sRGB)."""

LID_COLOURS = ["3c5a8c", "6a3f7a", "2f6b5c", "8a5a3c", "23202a"]
"""Eye shadow: blue, violet, green, copper, black (sRGB)."""

DYES = ["7d2a55", "2c5a80", "4c7a3f", "5b3a86"]
"""Dyed hair: magenta, blue, green, violet (sRGB)."""

HAIR_COLOURS = ["16130f", "2e2019", "59402c", "6e3322", "ad8a55", "d4b886", "a14f22", "8d8b88", "d0cdc8"]
"""Black, dark brown, brown, auburn, dark blond, blond, red, grey, white (sRGB)."""


def linear(colour: str) -> Array:
    """``"rrggbb"`` to linear RGB, (3,), with the renderer's tone curve (the square)."""
    encoded = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255
    return encoded * encoded


def pick(rng: np.random.Generator, palette: list[str], weights: list[float]) -> Array:
    """One colour of a palette, drawn by weight and varied a little: linear RGB, (3,)."""
    share = np.asarray(weights) / np.sum(weights)
    colour = linear(palette[int(rng.choice(len(palette), p=share))])
    return np.asarray(colour * rng.uniform(0.92, 1.08, 3) * rng.uniform(0.65, 1.4), np.float32)


def skin_colour(rng: np.random.Generator, tone: float) -> Array:
    """A skin colour; ``tone`` is 0 for the lightest and 1 for the darkest: linear RGB, (3,)."""
    # Melanin absorbs: its effect adds up in the logarithm, and is strongest in the blue.
    light, dark = np.log(linear("f2d0b8")), np.log(linear("6a4433"))
    warm = rng.uniform(-0.16, 0.16) * np.array([1.0, -0.1, -1.1])
    red = rng.uniform(-0.10, 0.10) * np.array([0.7, -1.0, -0.4])
    return np.asarray(np.exp(light + (dark - light) * tone**1.15 + warm + red), np.float32)


def lip_colour(rng: np.random.Generator, tone: float, build: float) -> Array:
    """The colour of lips, natural or painted (the more often the lower ``build``): linear RGB, (3,)."""
    natural = np.log(linear("c4786e")) * (1 - tone) + np.log(linear("6a3a34")) * tone
    painted = np.log(linear(["a3242e", "c2185b", "7b2d3f", "d4646c"][int(rng.integers(4))]))
    share = rng.uniform(0.4, 0.9) if rng.random() < 0.6 and build < 0.5 else 0.0
    colour = natural + (painted - natural) * share + rng.uniform(-0.15, 0.15, 3)
    return np.asarray(np.exp(colour), np.float32)
