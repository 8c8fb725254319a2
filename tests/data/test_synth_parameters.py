"""Streams, people and circumstances: what they depend on, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedfr_edge.data.synth import identity, nuisance
from fedfr_edge.data.synth.seeds import stream
from fedfr_edge.errors import DataError


def same(a: object, b: object) -> bool:
    return all(
        np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a)
    )


def test_a_stream_depends_on_each_of_its_numbers() -> None:
    first = stream(1, "identity", 2, 3).random(4)
    assert np.array_equal(first, stream(1, "identity", 2, 3).random(4))
    for other in (stream(2, "identity", 2, 3), stream(1, "nuisance", 2, 3), stream(1, "identity", 3, 2)):
        assert not np.array_equal(first, other.random(4))


@pytest.mark.parametrize("numbers", [(-1, 0), (0, -1)])
def test_negative_numbers_are_an_error(numbers: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="-1, expected 0 or more"):
        identity.identity_parameters(*numbers)
    with pytest.raises(DataError, match="-1, expected 0 or more"):
        nuisance.nuisance(*numbers, 0)


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_strength_outside_its_range_is_an_error(strength: float) -> None:
    with pytest.raises(DataError, match="strength of nuisance"):
        nuisance.nuisance(0, 0, 0, strength=strength)


def test_people_are_a_function_of_seed_and_number() -> None:
    person = identity.identity_parameters(5, 7)
    identity.identity_parameters(5, 8)
    assert same(person, identity.identity_parameters(5, 7))
    assert not same(person, identity.identity_parameters(5, 8))
    assert not same(person, identity.identity_parameters(6, 7))


def test_every_parameter_is_float32_and_finite() -> None:
    for rows in (
        identity.stack([identity.identity_parameters(0, i) for i in range(40)]),
        nuisance.stack([nuisance.nuisance(0, i, i) for i in range(40)]),
    ):
        assert len(rows) == 40
        for field in dataclasses.fields(rows):
            values = getattr(rows, field.name)
            assert values.dtype == np.float32, field.name
            assert values.shape[0] == 40, field.name
            assert np.isfinite(values).all(), field.name


def test_a_row_of_a_stack_is_the_batch_of_one() -> None:
    shots = [nuisance.nuisance(3, 1, image) for image in range(3)]
    people = [identity.identity_parameters(3, index) for index in range(3)]
    assert same(nuisance.stack(shots).row(2), shots[2])
    assert same(identity.stack(people).row(1), people[1])


def test_people_differ_in_every_shape_parameter() -> None:
    people = identity.stack([identity.identity_parameters(1, i) for i in range(60)])
    for name in ("face_width", "eye_x", "eye_open", "brow_y", "nose_y", "mouth_wide", "skin", "hair"):
        values = getattr(people, name)
        assert values.std(axis=0).min() > 0.05 * np.abs(values).mean(), name


def test_strength_zero_is_a_plain_photograph() -> None:
    shots = nuisance.stack([nuisance.nuisance(4, i, i, strength=0.0) for i in range(30)])
    for name in ("yaw", "pitch", "roll", "shade", "smile", "mouth_open", "glasses", "hat", "noise", "blur"):
        assert not getattr(shots, name).any(), name
    assert not shots.cover[:, 5].any()
    assert np.array_equal(shots.lids, np.ones(30, np.float32))
    assert np.array_equal(shots.light, np.repeat(shots.light[:1], 30, axis=0))


def test_lights_are_directions_and_frontal_heads_look_into_the_camera() -> None:
    shots = nuisance.stack([nuisance.nuisance(4, i, 0, frontal=True) for i in range(200)])
    assert np.allclose(np.linalg.norm(shots.light, axis=1), 1, atol=1e-6)
    for name, limit in (("yaw", 10), ("pitch", 8), ("roll", 6)):
        angles = np.degrees(getattr(shots, name))
        assert np.abs(angles).max() <= limit + 1e-4, name
        assert angles.std() > limit / 6, name
