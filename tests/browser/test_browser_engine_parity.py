"""The page's engine against the library: the same pictures, the same faces, crops and embeddings.

The engine runs in headless Chromium on the files that ``fedfr serve --in-browser`` serves.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import acting
import cv2
import numpy as np
import pytest
from in_browser import PICTURES, Site, as_rgba, runtime, serving

from fedfr_edge.apps.known_models import known_models, shipped_models
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.types import Image
from fedfr_edge.vision.align import align
from fedfr_edge.vision.detect import Detector, open_detector
from fedfr_edge.vision.image import read_image
from fedfr_edge.vision.quality import measure_quality
from fedfr_edge.vision.select import largest_central

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SMALL = "/engine/small.onnx"

OPEN = """
async ([settings, file]) => {
  const { Engine } = await import("/engine/engine.js");
  if (file) settings.files.model = file;
  globalThis.engine = await Engine.open(settings, { base: location.origin, threads: 1 });
}
"""
EMBED = """
async (crops) => {
  const found = [];
  for (const crop of crops) {
    const face = Uint8Array.from(atob(crop), (letter) => letter.charCodeAt(0));
    found.push(Array.from(await engine.embed(face)));
  }
  return found;
}
"""
DETECT = """
async (sent) => {
  const picture = asPicture(sent);
  const faces = [];
  for (const face of await engine.detector.detect(picture)) {
    faces.push({ ...face, landmarks: await engine.detector.lookAgain(picture, face.landmarks) });
  }
  return faces;
}
"""
ALIGN = """
async ([sent, landmarks]) => {
  const { similarity } = await import("/engine/align.js");
  const { pixels, warp } = await import("/engine/picture.js");
  const { measure, reasons } = await import("/engine/quality.js");
  const { alignment, quality } = engine.settings;
  const picture = asPicture(sent);
  const transform = similarity(landmarks, alignment);
  const crop = warp(picture, transform, alignment.face_size);
  const measured = measure(picture, crop, transform, landmarks, quality);
  return { crop: asBase64(pixels(crop)), measured, reasons: reasons(measured, quality.limits) };
}
"""


SEE = """
async (sent) => {
  const options = { live: true, several: "central", gate: false };
  const { embedding, ...seen } = await engine.see(asPicture(sent), options);
  return { ...seen, embedding: Array.from(embedding) };
}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network in full precision, exported as any other."""
    runtime()  # without it, skip before anything that takes time
    torch = pytest.importorskip("torch")
    from fedfr_edge.export.write import export_generic
    from fedfr_edge.train.backbones.backbone import build_backbone
    from fedfr_edge.train.backbones.spec import BackboneSpec
    from fedfr_edge.train.checkpoint import GlobalModel, cpu_state

    spec = BackboneSpec("sphereface10", dim=64, width=8, input_size=56)
    model = GlobalModel(spec, cpu_state(build_backbone(spec, seed=1)), torch.zeros((0, 64)), 0, {})
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    export_generic(model, path, calibration=None)
    return path


@pytest.fixture(scope="module")
def site(small: Path) -> Iterator[Site]:
    (model,) = shipped_models()
    with serving(model, more={SMALL: small}) as running:
        yield running


@pytest.fixture(scope="module")
def page(site: Site, browser: Browser) -> Iterator[Page]:
    """A page of the server that has nothing of its own, with the engine in it."""
    opened = browser.new_page()
    opened.goto(site.address + "style.css")
    opened.evaluate(PICTURES)
    opened.evaluate(OPEN, [site.about["engine"], None])
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return open_detector(provider="cpu", threads=1)


@pytest.fixture(scope="module")
def portraits() -> list[Image]:
    """Rendered people as a webcam sees them."""
    poses = (acting.FRONT, acting.Pose(yaw=15), acting.Pose(near=1.4, at=0.4), acting.Pose(near=0.6, at=0.7))
    return [acting.frame(person, pose) for person, pose in enumerate(poses)]


@pytest.fixture(scope="module")
def photographs(dev_data: Path) -> list[Image]:
    """Real photographs of people: small and large, one face and several."""
    files = sorted((dev_data / "faces" / "celebrity_photos").glob("*/*"))[::44]
    files += sorted((dev_data / "faces" / "lfw_photos").rglob("*.jpg"))[:200:80]
    # Larger than the detector sees: reduced for the first look, one with several faces.
    files += [
        dev_data / "photos" / "insightface" / "t1.jpg",
        dev_data / "photos" / "face_recognition" / "examples" / "two_people.jpg",
        dev_data / "photos" / "facenet-pytorch" / "test_images" / "shea_whigham" / "1.jpg",
    ]
    return [read_image(file) for file in files]


def crops_of(images: list[Image], detector: Detector) -> np.ndarray:
    found = [align(image, largest_central(detector.detect(image), image.shape).landmarks) for image in images]
    return np.stack(found)


def embedded(page: Page, crops: np.ndarray) -> np.ndarray:
    sent = [base64.b64encode(crop.tobytes()).decode() for crop in crops]
    return np.array(page.evaluate(EMBED, sent), dtype=np.float32)


def test_browser_runtime_is_the_one_that_was_tried() -> None:
    place, known = runtime(), known_models()["onnxruntime-web"]
    if place.is_dir():
        pytest.skip(f"{place} is a folder; the package's digest is of the .tgz")
    assert place.stat().st_size == known.bytes
    assert hashlib.sha256(place.read_bytes()).hexdigest() == known.sha256


def test_browser_embeds_as_python_does_in_full_precision(
    page: Page, site: Site, small: Path, portraits: list[Image], detector: Detector
) -> None:
    crops = crops_of(portraits, detector)
    file = {"address": SMALL, "sha256": hashlib.sha256(small.read_bytes()).hexdigest()}
    page.evaluate(OPEN, [site.about["engine"], file])
    try:
        expected = OnnxEncoder(small, provider="cpu", threads=1).embed(crops)
        difference = np.abs(embedded(page, crops) - expected).max()
        print(f"\nfp32, {len(crops)} crops: largest difference of a component {difference:.1e}")
        assert difference <= 1e-5
        # It would not hold for another network's embeddings.
        assert np.abs(site.encoder.embed(crops)[:, :64] - expected).max() > 1e-2
    finally:
        page.evaluate(OPEN, [site.about["engine"], None])


def test_browser_embeds_as_python_does_in_eight_bits(
    page: Page, site: Site, portraits: list[Image], detector: Detector
) -> None:
    assert site.encoder.manifest.precision == "int8"
    crops = crops_of(portraits, detector)
    cosines = (embedded(page, crops) * site.encoder.embed(crops)).sum(axis=1)
    print(f"\nint8 as shipped, {len(crops)} crops: cosine from {cosines.min():.6f} to {cosines.max():.6f}")
    assert cosines.min() >= 0.99


def compare_faces(page: Page, detector: Detector, images: list[Image]) -> tuple[int, float, float]:
    """How many faces, and the largest difference of a box's edge and of a landmark, in pixels."""
    faces, boxes, points = 0, 0.0, 0.0
    for image in images:
        expected, found = detector.detect(image), page.evaluate(DETECT, as_rgba(image))
        assert len(found) == len(expected)
        for theirs, ours in zip(expected, found, strict=True):
            faces += 1
            boxes = max(boxes, float(np.abs(theirs.box - ours["box"]).max()))
            points = max(points, float(np.abs(theirs.landmarks - ours["landmarks"]).max()))
            assert ours["score"] == pytest.approx(theirs.score, abs=0.03)
    return faces, boxes, points


def test_browser_finds_the_same_faces(page: Page, detector: Detector, portraits: list[Image]) -> None:
    two = acting.scene([(0, acting.Pose(at=0.25)), (1, acting.Pose(at=0.75))])
    faces, boxes, points = compare_faces(page, detector, [*portraits, two])
    assert faces == len(portraits) + 2
    assert max(boxes, points) <= 1


def test_browser_finds_the_same_faces_on_photographs(
    page: Page, detector: Detector, photographs: list[Image]
) -> None:
    faces, boxes, points = compare_faces(page, detector, photographs)
    print(
        f"\n{faces} faces on {len(photographs)} photographs: boxes {boxes:.2f}, points {points:.2f} px apart"
    )
    assert faces > len(photographs)
    assert max(boxes, points) <= 1


def compare_films(page: Page, site: Site, detector: Detector, images: list[Image]) -> tuple[float, float]:
    """Frames of a film, first looked at in a smaller size: largest distance of a landmark, as a share of the
    distance between the eyes, and lowest cosine of the embeddings."""
    points, cosines = [], []
    for image in images:
        faces, found = detector.detect(image), page.evaluate(SEE, as_rgba(image))
        face = largest_central(faces, image.shape)
        assert found["faces"] == len(faces)
        eyes = float(np.hypot(*(face.landmarks[1] - face.landmarks[0])))
        points.append(float(np.abs(face.landmarks - found["landmarks"]).max()) / eyes)
        (expected,) = site.encoder.embed(align(image, face.landmarks)[None])
        cosines.append(float(expected @ np.array(found["embedding"], np.float32)))
    return max(points), min(cosines)


def test_browser_looks_at_films_nearly_as_at_photographs(
    page: Page, site: Site, detector: Detector, portraits: list[Image]
) -> None:
    # A small face, which is lost at the smaller size, is found at the usual one.
    tiny = acting.frame(1, acting.Pose(near=0.17))
    distance, cosine = compare_films(page, site, detector, [*portraits, tiny])
    print(f"\nframes: landmarks within {distance:.3f} of the eyes' distance, cosine from {cosine:.4f}")
    assert distance <= 0.05
    assert cosine >= 0.95


def compare_crops(page: Page, detector: Detector, images: list[Image]) -> tuple[float, int]:
    """Share of the crops' values within one grey level, and the largest difference."""
    near, largest, count = 0, 0, 0
    for image in images:
        face = largest_central(detector.detect(image), image.shape)
        found = page.evaluate(ALIGN, [as_rgba(image), face.landmarks.tolist()])
        ours = np.frombuffer(base64.b64decode(found["crop"]), np.uint8).reshape(112, 112, 3).astype(int)
        difference = np.abs(ours - align(image, face.landmarks))
        near, count = near + int((difference <= 1).sum()), count + difference.size
        largest = max(largest, int(difference.max()))
        expected = measure_quality(image, face)
        assert found["reasons"] == list(expected.reasons())
        for name in ("size", "turn", "outside"):
            assert found["measured"][name] == pytest.approx(getattr(expected, name), abs=1e-4)
        assert found["measured"]["eyes"] == pytest.approx(expected.eyes, abs=0.02)
        assert found["measured"]["brightness"] == pytest.approx(expected.brightness, abs=0.5)
        assert found["measured"]["sharpness"] == pytest.approx(expected.sharpness, rel=0.03)
    return near / count, largest


def test_browser_aligns_and_judges_alike(page: Page, detector: Detector, portraits: list[Image]) -> None:
    dark = (portraits[0] // 5).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(portraits[0], (0, 0), 5), dtype=np.uint8)
    cut = np.ascontiguousarray(portraits[0][:, 300:])
    share, largest = compare_crops(page, detector, [*portraits, dark, blurred, cut])
    assert share >= 0.99
    assert largest <= 2


def test_browser_aligns_and_judges_photographs_alike(
    page: Page, detector: Detector, photographs: list[Image]
) -> None:
    share, largest = compare_crops(page, detector, photographs)
    print(f"\n{len(photographs)} crops: {share:.4%} of the values within one grey level, largest {largest}")
    assert share >= 0.99
    assert largest <= 2
