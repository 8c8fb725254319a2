"""Guided enrolment: a head that does what is asked, heads that do not, and real photographs in a row."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from heads import Pose as HeadPose
from heads import landmarks_3d, see

from fedfr_edge.errors import ConfigError, GalleryError, ModelMismatchError
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.enrol_policy import EnrolPolicy
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.guided import ADVICE, EnrolLook, EnrolSession, GuidedLimits, Pose
from fedfr_edge.recognition.manifest import Manifest
from fedfr_edge.recognition.template import make_template
from fedfr_edge.types import AlignedFaces, Embeddings, Face, Image
from fedfr_edge.vision.align import align, similarity_transform
from fedfr_edge.vision.detect import open_detector
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.quality import ADVICE as QUALITY_ADVICE
from fedfr_edge.vision.quality import measure_quality

TURNS = {Pose.FRONT: 0.0, Pose.TURN_LEFT: 25.0, Pose.TURN_RIGHT: -25.0, Pose.CLOSER: 0.0, Pose.FARTHER: 0.0}
NEARNESS = {Pose.CLOSER: 1.4, Pose.FARTHER: 0.7}


class Pooled:
    """An encoder: means of 16×16 pixels less their mean, of unit length; the second space is their mirror."""

    name, dim, digest, provider = "pooled", 147, "0" * 64, "numpy"
    manifest = Manifest("personal", "pooled", 0, 147, {}, "means", "0" * 64, client="c")

    def embed_both(self, faces: AlignedFaces) -> tuple[Embeddings, Embeddings]:
        means = faces.reshape(-1, 7, 16, 7, 16, 3).mean(axis=(2, 4)).reshape(-1, 147)
        means -= means.mean(axis=1, keepdims=True)
        own = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
        return np.ascontiguousarray(own[:, ::-1]), own


def picture(who: str, yaw: float, nearness: float) -> np.ndarray:
    """An aligned face that is the same person's, but no two poses give the same."""
    rng = np.random.default_rng([ord(letter) for letter in who])
    face = cv2.resize(rng.integers(60, 200, (7, 7, 3)).astype(np.uint8), (112, 112))
    change = np.random.default_rng([round(yaw) + 90, round(nearness * 10)])
    grain = change.integers(-35, 36, (7, 7, 3)).repeat(16, 0).repeat(16, 1)
    fine = np.random.default_rng(1).integers(-20, 21, (112, 112, 1))
    return np.clip(face.astype(int) + grain + fine, 0, 255).astype(np.uint8)


@dataclass
class Stage:
    """Camera and detector in one."""

    faces: list[Face] = field(default_factory=list)
    name: str = "stage"
    time: float = 0.0

    def frame(
        self, who: str | None = "Ana", yaw: float = 0.0, nearness: float = 1.0, light: float = 1.0
    ) -> tuple[Image, float]:
        self.time += 0.1
        image = np.zeros((480, 640, 3), np.uint8)
        self.faces = []
        if who is not None:
            self.faces = [see(landmarks_3d(), HeadPose(yaw=yaw, nearness=nearness))]
            back = cv2.invertAffineTransform(similarity_transform(self.faces[0].landmarks))
            image = np.asarray(cv2.warpAffine(picture(who, yaw, nearness), back, (640, 480)), np.uint8)
            image = (image * light).astype(np.uint8)
        return image, self.time

    def asked(self, pose: Pose, who: str = "Ana") -> tuple[Image, float]:
        """A frame of somebody who does what is asked."""
        return self.frame(who, TURNS[pose], NEARNESS.get(pose, 1.0))

    def detect(self, image: Image) -> list[Face]:
        return self.faces


POLICY = EnrolPolicy(outlier=0.4, threshold=0.5)


def session(stage: Stage, **more: Any) -> EnrolSession:
    settings = {"gallery": Gallery(Pooled.digest, Pooled.dim), "name": "Ana", "policy": POLICY, **more}
    return EnrolSession(encoder=Pooled(), detector=stage, **settings)


def test_somebody_who_does_what_is_asked_is_enrolled() -> None:
    stage = Stage()
    guided = session(stage)
    asked, images = [], []
    for taken in range(5):
        asked.append(guided.next)
        image, at = stage.asked(guided.next)
        images.append(align(image, stage.faces[0].landmarks))
        look = guided.look(image, at)
        assert (look.accepted, look.reason, look.taken, look.needed) == (True, None, taken + 1, 5)
        assert look.faces_seen == 1
        assert np.array_equal(look.box, stage.faces[0].box)
        assert look.done == (taken == 4)
        assert look.text == ("" if look.done else ADVICE[look.next])
    assert asked == list(Pose)
    done = guided.finish()
    backbone, own = Pooled().embed_both(np.stack(images))
    expected = make_template(own, Pooled.digest, backbone=backbone)
    assert np.array_equal(done.template.vector, expected.vector)
    assert done.template.backbone is not None
    assert np.array_equal(done.template.backbone, expected.backbone)
    assert (done.name, done.person, done.template.images, done.dropped) == ("Ana", None, 5, ())
    assert done.used[1] == "look 2 (turn_left)"
    after = guided.look(*stage.frame())
    assert (after.done, after.accepted, after.taken, after.text) == (True, False, 5, "")


def test_each_frame_that_is_refused_says_why_and_what_to_do() -> None:
    stage = Stage()
    guided = session(stage)
    first = guided.look(*stage.frame(yaw=25))  # not yet to the front
    assert (first.accepted, first.reason, first.next) == (False, None, Pose.FRONT)
    assert first.text == "look straight at the camera"
    assert guided.look(*stage.asked(Pose.FRONT)).accepted

    def refused(look: EnrolLook, reason: str, faces: int = 1) -> None:
        assert (look.accepted, look.reason, look.taken, look.faces_seen) == (False, reason, 1, faces)
        assert look.text == ADVICE[reason]
        assert (look.box is None) == (faces != 1)

    refused(guided.look(*stage.frame(None)), "no_face", 0)
    image, at = stage.frame(yaw=25)
    stage.faces *= 2
    refused(guided.look(image, at), "several_faces", 2)
    refused(guided.look(*stage.frame(yaw=25, light=0.15)), "too_dark")
    refused(guided.look(*stage.frame(yaw=25, nearness=0.2)), "too_small")
    refused(guided.look(*stage.frame(yaw=70)), "turned_away")
    refused(guided.look(*stage.frame("Ben", yaw=25)), "not_the_same_person")
    image, at = stage.frame(yaw=25)
    stage.faces[0].landmarks[:] = 5
    refused(guided.look(image, at), "not_alignable")
    wrong_side = guided.look(*stage.frame(yaw=-25))
    assert (wrong_side.accepted, wrong_side.reason) == (False, None)
    assert wrong_side.text == "turn your head a little to your left"
    assert guided.look(*stage.frame(yaw=25)).accepted


def test_the_last_look_once_more_is_refused() -> None:
    stage = Stage()
    guided = session(stage, looks=2, limits=GuidedLimits(turn=-1.0))  # any turn will do
    assert guided.look(*stage.frame()).accepted
    again = guided.look(*stage.frame())
    assert (again.accepted, again.reason) == (False, "too_like_the_last")
    assert guided.look(*stage.frame(yaw=10)).done


@pytest.mark.parametrize(
    ("pose", "yaw", "nearness", "fits"),
    [
        (Pose.TURN_LEFT, 10, 1, False),
        (Pose.TURN_LEFT, 25, 1, True),
        (Pose.TURN_RIGHT, -10, 1, False),
        (Pose.TURN_RIGHT, -25, 1, True),
        (Pose.CLOSER, 0, 1.2, False),
        (Pose.CLOSER, 0, 1.3, True),
        (Pose.CLOSER, 25, 1.3, False),
        (Pose.FARTHER, 0, 0.85, False),
        (Pose.FARTHER, 0, 0.78, True),
        (Pose.FARTHER, -25, 0.78, False),
    ],
)
def test_when_a_pose_is_what_was_asked(pose: Pose, yaw: float, nearness: float, fits: bool) -> None:
    stage = Stage()
    guided = session(stage)
    while guided.next is not pose:
        assert guided.look(*stage.asked(guided.next)).accepted
    assert guided.look(*stage.frame(yaw=yaw, nearness=nearness)).accepted is fits


def test_a_look_that_is_not_to_be_had_is_passed_over() -> None:
    stage = Stage()
    guided = session(stage, looks=3)
    stage.time += 100  # the first look to the front is waited for
    assert guided.look(*stage.frame(yaw=25)).next is Pose.FRONT
    assert guided.look(*stage.asked(Pose.FRONT)).next is Pose.TURN_LEFT
    stage.time += 7
    assert guided.look(*stage.frame()).next is Pose.TURN_LEFT
    stage.time += 2
    assert guided.look(*stage.frame()).next is Pose.TURN_RIGHT
    assert guided.look(*stage.asked(Pose.TURN_RIGHT)).next is Pose.CLOSER
    assert guided.look(*stage.asked(Pose.CLOSER)).done


def test_nobody_is_asked_to_come_too_close_or_to_go_too_far() -> None:
    # The face has 156 of 480 pixels: 1.25 times that is 41 %.
    stage = Stage()
    guided = session(stage, looks=5, limits=GuidedLimits(widest=0.4))
    asked = []
    for _ in range(4):
        asked.append(guided.next)
        guided.look(*stage.asked(guided.next))
    assert asked == [Pose.FRONT, Pose.TURN_LEFT, Pose.TURN_RIGHT, Pose.FARTHER]
    # The crop has 1.4 times 30 pixels at first: farther away it would have fewer than 40.
    small = session(stage, looks=6)
    assert small.look(*stage.frame(nearness=0.25)).accepted
    asked = [small.next]
    for pose, yaw, nearness in (("l", 25, 0.25), ("r", -25, 0.25), ("c", 0, 0.4)):
        assert small.look(*stage.frame(yaw=yaw, nearness=nearness)).accepted, pose
        asked.append(small.next)
    assert asked == [Pose.TURN_LEFT, Pose.TURN_RIGHT, Pose.CLOSER, Pose.FRONT]


def test_looks_can_be_added_to_somebody_but_only_their_own() -> None:
    stage = Stage()
    gallery = Gallery(Pooled.digest, Pooled.dim)
    with pytest.raises(GalleryError, match="nobody called 'Ana'"):
        session(stage, gallery=gallery, existing="add")
    backbone, own = Pooled().embed_both(np.stack([picture("Ana", 10, 1.0)]))
    ana = gallery.add("Ana", make_template(own, Pooled.digest, backbone=backbone))
    with pytest.raises(GalleryError, match="--add"):
        session(stage, gallery=gallery)
    guided = session(stage, gallery=gallery, existing="add", looks=1)
    assert guided.look(*stage.frame("Ben")).reason == "not_the_same_person"
    assert guided.look(*stage.frame("Ana")).done
    done = guided.finish()
    assert (done.added_to, done.template.images) == (ana, 2)
    assert gallery.people == (ana,)  # the caller keeps it


def test_somebody_too_like_is_reported_at_the_end() -> None:
    stage = Stage()
    gallery = Gallery(Pooled.digest, Pooled.dim)
    twin = Pooled().embed_both(picture("Ana", 5, 1)[None])[1]
    gallery.add("Twin", make_template(twin, Pooled.digest))
    guided = session(stage, gallery=gallery, looks=1)
    image, at = stage.frame()
    guided.look(image, at)
    assert twin[0] @ Pooled().embed_both(align(image, stage.faces[0].landmarks)[None])[1][0] > 0.5
    assert [each.person.name for each in guided.finish().too_like] == ["Twin"]


def test_what_cannot_be_begun_or_finished() -> None:
    stage = Stage()
    with pytest.raises(ConfigError, match="at least 1"):
        session(stage, looks=0)
    with pytest.raises(ModelMismatchError):
        session(stage, gallery=Gallery("1" * 64, Pooled.dim))
    guided = session(stage)
    guided.look(*stage.frame())
    with pytest.raises(GalleryError, match="1 of 5 looks"):
        guided.finish()
    with pytest.raises(ConfigError, match="time is nan"):
        guided.look(stage.frame()[0], math.nan)


def test_every_code_has_words() -> None:
    assert set(ADVICE) >= {*QUALITY_ADVICE, *Pose, "no_face", "several_faces", "not_alignable"}
    assert all(ADVICE.values())


# --- real photographs --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(dev_data: Path) -> list[tuple[Image, list[Face]]]:
    """Photographs of two people one after the other, with the faces that CenterFace finds."""
    folder = dev_data / "faces" / "celebrity_photos"
    people = [sorted((folder / name).iterdir())[:16] for name in ("brad_pitt", "hugh_jackman")]
    images = [read_image(path) for pair in zip(*people, strict=True) for path in pair]
    detector = open_detector(threads=1)
    return [(image, detector.detect(image)) for image in images]


@dataclass
class Shown:
    """The detector that looked at them already."""

    faces: list[Face] = field(default_factory=list)
    name: str = "shown"

    def detect(self, image: Image) -> list[Face]:
        return self.faces


def plain_turn(face: Face) -> float:
    """The nose tip's way from the line eyes–mouth, in distances between the eyes, by complex numbers."""
    left, right, nose, *mouth = (complex(float(x), float(y)) for x, y in face.landmarks)
    down = (mouth[0] + mouth[1]) / 2 - (left + right) / 2
    # Turned so that "down" points down, the real part is the way to the image's right.
    upright = (nose - (left + right) / 2) * 1j * abs(down) / down
    return float(upright.real / abs(right - left))


@pytest.mark.parametrize(("limit", "refused"), [(0.3, "several_faces"), (0.42, "not_the_same_person")])
def test_real_photographs_are_taken_and_refused_as_a_plain_loop_says(
    shown: list[tuple[Image, list[Face]]], limit: float, refused: str
) -> None:
    models = Path(__file__).resolve().parents[2] / "models"
    encoder = OnnxEncoder(models / "synthetic.onnx", threads=1)
    policy = EnrolPolicy(outlier=limit)
    detector = Shown()
    guided = EnrolSession(
        encoder=encoder,
        gallery=Gallery(encoder.digest, encoder.dim),
        detector=detector,
        name="Brad",
        looks=3,
        policy=policy,
    )
    taken: list[np.ndarray] = []
    first: tuple[float, float] | None = None
    seen: dict[str | None, int] = {}
    for number, (image, faces) in enumerate(_again(shown, 3)):
        detector.faces, asked = faces, guided.next
        look = guided.look(image, number * 0.1)
        expected: str | None = None
        accepted = False
        if len(faces) != 1:
            expected = "several_faces" if faces else "no_face"
        elif poor := measure_quality(image, faces[0]).reasons():
            expected = poor[0]
        else:
            turn, height = plain_turn(faces[0]), float(faces[0].box[3] - faces[0].box[1])
            change, growth = (turn - first[0], height / first[1]) if first else (turn, 1.0)
            does = {
                Pose.FRONT: abs(change) <= 0.12,
                Pose.TURN_LEFT: change >= 0.15,
                Pose.TURN_RIGHT: change <= -0.15,
                Pose.CLOSER: abs(change) <= 0.12 and growth >= 1.25,
                Pose.FARTHER: abs(change) <= 0.12 and growth <= 0.8,
            }[asked]
            if does:
                row = encoder.embed(align(image, faces[0].landmarks)[None])[0].astype(np.float64)
                mean = np.sum(taken, axis=0) if taken else row
                if row @ mean / np.linalg.norm(mean) < limit:
                    expected = "not_the_same_person"
                elif taken and row @ taken[-1] >= 0.95:
                    expected = "too_like_the_last"
                else:
                    accepted = True
                    taken.append(row)
                    first = first or (turn, height)
        assert (look.accepted, look.reason, look.taken) == (accepted, expected, len(taken)), number
        seen[expected] = seen.get(expected, 0) + 1
        if look.done:
            break
    assert seen[refused] >= 1
    assert len(taken) >= 2
    assert look.done == (limit == 0.3)
    if look.done:
        mean = np.sum(taken, axis=0)
        assert guided.finish().template.vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def _again(shown: list[tuple[Image, list[Face]]], times: int) -> Iterator[tuple[Image, list[Face]]]:
    return itertools.chain.from_iterable(itertools.repeat(shown, times))
