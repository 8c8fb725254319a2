"""Error rates of the liveness checks on what can be tried without an attacker at hand.

``pytest -m long tests/liveness/test_liveness_figures.py -s`` prints the figures that the documentation
quotes. APCER is the share of attacks taken for a live person, BPCER the share of live persons refused
(ISO/IEC 30107-3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import minifas_onnx
import numpy as np
import numpy.typing as npt
import pytest
from heads import Actor, Pose, landmarks_3d, play, see
from presented import HEIGHT, WIDTH, Held, hold, printed, screened

from fedfr_edge.recognition.challenge import Challenge, Limits, State, orders
from fedfr_edge.types import Face, Image
from fedfr_edge.vision.centerface import CenterFace
from fedfr_edge.vision.detect import Detector
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.liveness import MiniFas
from fedfr_edge.vision.quality import turn_of
from fedfr_edge.vision.select import largest_central

FRAME_SHAPE = (HEIGHT, WIDTH)


def shown_to(
    detector: Detector, picture: Image, way: Callable[[Pose], Held]
) -> Callable[[Pose], Face | None]:
    """How the detector sees a picture held as the actor wants; poses are rounded, each looked at once."""
    seen: dict[Held, Face | None] = {}

    def show(pose: Pose) -> Face | None:
        held = way(Pose(round(pose.yaw / 5) * 5.0, round(pose.nearness, 1), round(pose.aside / 10) * 10.0))
        if held not in seen:
            faces = detector.detect(hold(picture, held))
            seen[held] = largest_central(faces, FRAME_SHAPE) if faces else None
        return seen[held]

    return show


def still(pose: Pose) -> Held:
    return Held(nearness=pose.nearness)


def sideways(pose: Pose) -> Held:
    return Held(nearness=pose.nearness, aside=float(np.clip(pose.yaw * 3, -120, 120)))


def tilted(pose: Pose) -> Held:
    return Held(nearness=pose.nearness, yaw=pose.yaw)


def bent(pose: Pose) -> Held:
    """Rolled about its vertical and turned: the nearest that paper comes to a head."""
    return Held(nearness=pose.nearness, yaw=pose.yaw, bend=1.2)


class Slides:
    """Many photographs of one person, laid on one another by eyes and mouth, the best shown for each turn.

    The attacker needs to know the person's photographs only, and software that follows the order.
    """

    def __init__(self, faces: Sequence[Face]) -> None:
        self.turns = sorted((turn_of(face.landmarks), number) for number, face in enumerate(faces))
        self.faces = faces

    def __call__(self, pose: Pose) -> Face:
        front = min(abs(turn) for turn, _ in self.turns)
        wanted = front + 0.45 * np.tan(np.radians(pose.yaw))
        number = min(self.turns, key=lambda entry: abs(entry[0] - wanted))[1]
        marks = self.faces[number].landmarks.astype(np.float64)
        eyes = marks[:2].mean(axis=0)
        scale = 66 * pose.nearness / np.hypot(*(marks[3:].mean(axis=0) - eyes))
        marks = (marks - eyes) * scale + (320, 220)
        height = 156 * pose.nearness
        box = np.array([320 - height / 2.8, 160, 320 + height / 2.8, 160 + height], np.float32)
        return Face(box, marks.astype(np.float32), 1.0)


@pytest.mark.long
def test_print_the_challenges_figures(dev_data: Path, centerface: CenterFace) -> None:
    rng = np.random.default_rng(6)
    every = orders(4)
    press = sorted((dev_data / "faces" / "celebrity_photos").iterdir())
    portraits = [read_image(sorted(person.iterdir())[0]) for person in press]
    portraits += [
        read_image(file) for file in sorted((dev_data / "faces" / "lfw_photos").rglob("*.jpg"))[::25]
    ]
    print()
    for name, way, turn in (
        ("a still photograph", still, 0),
        ("moved sideways", sideways, 40),
        ("tilted by up to 50°", tilted, 50),
        ("tilted by up to 65°", tilted, 65),
        ("bent and turned by up to 45°", bent, 45),
    ):
        ends: Counter[str] = Counter()
        for portrait in portraits:
            order = every[int(rng.integers(len(every)))]
            show = shown_to(centerface, portrait, way)
            status = play(Challenge(order, Limits(time=4)), Actor(turn=turn), show)
            ends[status.fault.value if status.fault else status.state.value] += 1
        print(f"APCER, {name}: {ends['done']} of {len(portraits)} passed {dict(ends)}")
        assert ends["done"] == 0
    passed = 0
    for person in press:
        faces = []
        for file in sorted(person.iterdir()):
            image = read_image(file)
            faces.append(largest_central(centerface.detect(image), image.shape))
        order = every[int(rng.integers(len(every)))]
        passed += play(Challenge(order), Actor(turn=35), Slides(faces)).state is State.DONE
    print(
        f"APCER, 20 photographs of the person, steered to follow the order: {passed} of {len(press)} passed"
    )
    recorded = sum(a == b for a in every for b in every)
    print(f"APCER, a recording of another order: {recorded} of {len(every) ** 2} have the order asked for")
    for noise in (0.0, 0.01, 0.02, 0.03):
        refused: Counter[str] = Counter()
        people = 500
        for _ in range(people):
            head = landmarks_3d(nose=rng.uniform(0.4, 0.6))
            head[:, 0] += rng.normal(0, 0.02, 5)
            actor = Actor(
                turn=rng.uniform(35, 55),
                speed=rng.uniform(30, 90),
                zoom=rng.uniform(1.4, 1.7),
                reaction=rng.uniform(0.2, 1.2),
            )
            show = shaken(head, noise, rng)
            status = play(Challenge(every[int(rng.integers(len(every)))]), actor, show)
            refused[status.fault.value if status.fault else status.state.value] += 1
        print(
            f"BPCER, simulated heads, landmarks off by {noise} of the eyes' distance (σ): "
            f"{people - refused['done']} of {people} {dict(refused)}"
        )


def shaken(head: npt.NDArray[np.float64], noise: float, rng: np.random.Generator) -> Callable[[Pose], Face]:
    def show(pose: Pose) -> Face:
        face = see(head, pose)
        marks = face.landmarks + rng.normal(0, 60 * pose.nearness * noise, (5, 2))
        return Face(face.box, marks.astype(np.float32), 1.0)

    return show


@pytest.mark.long
def test_print_the_published_networks_figures(dev_data: Path, centerface: CenterFace, tmp_path: Path) -> None:
    liveness = MiniFas(minifas_onnx.published(dev_data / "models", tmp_path), threads=1)

    def score(image: Image) -> float:
        faces = centerface.detect(image)
        return liveness.score(image, largest_central(faces, image.shape)) if faces else np.nan

    photos = {
        "LFW": sorted((dev_data / "faces" / "lfw_photos").rglob("*.jpg"))[::2],
        "press": sorted((dev_data / "faces" / "celebrity_photos").rglob("*.jpg"))[::2],
    }
    print()
    rates = {}
    for kind, names in photos.items():
        images = [read_image(name) for name in names]
        live = np.array([score(image) for image in images])
        rates[kind] = float(np.mean(live < 0.5))
        print(f"BPCER, {kind}: {np.sum(live < 0.5)} of {len(live)} photographs of people score below 0.5")
        for what, made in (("printed", printed), ("on a screen", screened)):
            scores = np.array([score(hold(made(image), Held())) for image in images])
            there = scores[np.isfinite(scores)]
            print(
                f"APCER, {kind} {what} (simulated): {np.sum(there >= 0.5)} of {len(there)} score 0.5 or more"
            )
    film = cv2.VideoCapture(str(dev_data / "photos" / "minivision" / "demo.gif"))
    frames = []
    while (step := film.read())[0]:
        frames.append(np.ascontiguousarray(step[1][:, :, ::-1]))
    # Seen by eye: a woman, then a telephone with her photograph, then a print of somebody half turned.
    for what, part in (("live", frames[:33]), ("telephone", frames[33:62]), ("print", frames[62:])):
        scores = np.array([score(frame) for frame in part])
        faces = [largest_central(centerface.detect(frame), frame.shape) for frame in part]
        turns = [turn_of(face.landmarks) for face in faces]
        print(
            f"the project's own film, {what}: {np.sum(scores >= 0.5)} of {len(part)} frames score 0.5 or "
            f"more; turn {min(turns):.2f} to {max(turns):.2f}"
        )
    assert rates["press"] < 0.2
