"""Whole photographs and the truth about them."""

from __future__ import annotations

import numpy as np
import pytest

from fedfr_edge.data.synth.scene import render_portrait_scene, render_scene
from fedfr_edge.errors import DataError


def test_a_scene_has_everybody_in_the_frame_from_left_to_right() -> None:
    for number in range(6):
        scene = render_scene(3, number, [number, 20, 9][: 1 + number % 3], height=240, width=400)
        assert scene.image.shape == (240, 400, 3)
        assert scene.image.dtype == np.uint8
        assert [person.identity for person in scene.people] == [number, 20, 9][: 1 + number % 3]
        middles = []
        for person in scene.people:
            left, top, right, bottom = person.box
            assert 0 <= left < right <= 399
            assert 0 <= top < bottom <= 239
            for x, y in person.landmarks:
                assert left <= x <= right
                assert top <= y <= bottom
            assert person.landmarks[0, 1] < person.landmarks[3, 1]  # eyes over the mouth
            middles.append((left + right) / 2)
        assert middles == sorted(middles)


def test_boxes_of_neighbours_do_not_overlap() -> None:
    for number in range(8):
        a, b, c = (p.box for p in render_scene(1, number, [1, 2, 3], height=120, width=360).people)
        assert a[2] < b[2]
        assert (a[2] - b[0]) < 0.25 * (b[2] - b[0])
        assert (b[2] - c[0]) < 0.25 * (c[2] - c[0])


def test_a_scene_is_a_function_of_its_arguments() -> None:
    first = render_scene(3, 1, [4], height=160, width=200)
    render_scene(3, 2, [4], height=160, width=200)
    again = render_scene(3, 1, [4], height=160, width=200)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, render_scene(3, 2, [4], height=160, width=200).image)


def test_a_portrait_scene_is_of_the_person_asked_for() -> None:
    scene = render_portrait_scene(12, 1000, 5, height=200, width=240)
    assert len(scene.people) == 1
    assert (scene.people[0].identity, scene.people[0].image) == (12, 1000)
    truth = scene.truth()[0]
    assert truth["identity"] == 12
    assert np.allclose(truth["landmarks"], scene.people[0].landmarks, atol=0.006)


@pytest.mark.parametrize(
    ("identities", "size", "message"),
    [
        ([], (480, 640), "expected one or more, each once"),
        ([1, 1], (480, 640), "expected one or more, each once"),
        ([1], (480, 20), "expected at least 96"),
        ([-1], (480, 640), "expected 0 or more"),
    ],
)
def test_bad_input(identities: list[int], size: tuple[int, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        render_scene(0, 0, identities, height=size[0], width=size[1])
