"""The limits of EnrolPolicy on real faces, with the model that comes along: what its docstring says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrol_policy import EnrolPolicy
from fedfr_edge.recognition.likeness import least_alike
from fedfr_edge.vision.image import read_image

PEOPLE, IMAGES = 20, 20


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return OnnxEncoder(Path(__file__).resolve().parents[2] / "models" / "synthetic.onnx", threads=1)


@pytest.fixture(scope="module")
def faces(dev_data: Path) -> np.ndarray:
    """uint8 (people, images, 112, 112, 3)."""
    people = sorted((dev_data / "faces" / "pins_aligned").iterdir())[:PEOPLE]
    return np.stack(
        [np.stack([read_image(path) for path in sorted(person.iterdir())[:IMAGES]]) for person in people]
    )


@pytest.fixture(scope="module")
def embeddings(encoder: OnnxEncoder, faces: np.ndarray) -> np.ndarray:
    flat = np.ascontiguousarray(faces.reshape(-1, 112, 112, 3))
    return encoder.embed(flat).reshape(PEOPLE, IMAGES, -1)


def saved(face: np.ndarray, quality: int) -> np.ndarray:
    done, data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def moved(face: np.ndarray) -> np.ndarray:
    return np.concatenate([face[:, :1], face[:, :-1]], axis=1)


@pytest.mark.parametrize(
    "change", [lambda face: saved(face, 75), lambda face: saved(face, 30), moved], ids=["75", "30", "moved"]
)
def test_the_same_photograph_again_is_a_repeat(
    encoder: OnnxEncoder,
    faces: np.ndarray,
    embeddings: np.ndarray,
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    again = np.stack([change(face) for face in faces.reshape(-1, 112, 112, 3)])
    scores = np.sum(encoder.embed(again) * embeddings.reshape(len(again), -1), axis=1)
    assert np.mean(scores >= EnrolPolicy().repeat) >= 0.99


def test_other_photographs_of_a_person_are_hardly_ever_one(embeddings: np.ndarray) -> None:
    scores = np.einsum("pid,pjd->pij", embeddings, embeddings)
    first, second = np.triu_indices(IMAGES, 1)
    assert np.mean(scores[:, first, second] >= EnrolPolicy().repeat) < 1e-3


def test_five_photographs_of_a_person_hardly_ever_all_look_alike(embeddings: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    lowest = [least_alike(person[rng.permutation(IMAGES)[:5]]) for person in embeddings for _ in range(50)]
    assert np.mean(np.array(lowest) >= EnrolPolicy().alike) < 0.01
