"""``fedfr data synth``: synthetic people into a store, whole scenes, and checks of their fairness."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError
from fedfr_edge.types import Progress

TRUTH = "truth.json"
"""The file beside the scenes that tells who is where in them."""


@dataclass(frozen=True)
class SynthConfig:
    """Settings of ``fedfr data synth``."""

    out: Path | None = option(None, help="folder of the new store of aligned crops", short="o")
    identities: int = option(60, help="people to render", low=1)
    images: int = option(20, help="aligned crops of each person", low=1)
    seed: int = option(0, help="another seed renders other people", low=0)
    jobs: int | None = option(None, help="processes that render crops; else one per CPU core", low=1)
    scenes: Path | None = option(None, help="folder for whole photographs of these people")
    scene_count: int = option(12, help="photographs to render", low=1)
    scene_people: int = option(1, help="people in each photograph", low=1, high=4)
    height: int = option(480, help="height of a photograph in pixels", low=96, high=4096)
    width: int = option(640, help="width of a photograph in pixels", low=96, high=4096)
    frontal: bool = option(False, help="photographs only: everybody looks into the camera")
    check: bool = option(False, help="measure how fair a stand-in for real faces these are")
    check_scenes: int = option(200, help="check: frontal photographs for the detector", low=1)
    detector: str = option("centerface", help="check: centerface or yunet:, scrfd:, insightface:FILE.onnx")


def run(config: SynthConfig) -> int:
    """Do what was asked for: store, scenes, check; status 1 if a check misses its bar."""
    from fedfr_edge.apps.console import progress_bars

    if config.out is None and config.scenes is None and not config.check:
        raise ConfigError("nothing to do: give --out STORE, --scenes DIR or --check")
    if config.scene_people > config.identities:
        raise ConfigError(
            f"{config.scene_people} people in each photograph but only {config.identities} identities; "
            "raise --identities"
        )
    with progress_bars() as progress:
        lines = []
        if config.out is not None:
            lines += _store(config, config.out, progress)
        if config.scenes is not None:
            lines += _scenes(config, config.scenes, progress)
        passed = True
        if config.check:
            checked, passed = _check(config, progress)
            lines += checked
    from fedfr_edge.apps.console import out

    for line in lines:
        out.print(line)
    return 0 if passed else 1


def _store(config: SynthConfig, path: Path, progress: Progress) -> list[str]:
    from fedfr_edge.data.synth.generate import synthesize_store

    start = time.perf_counter()
    store = synthesize_store(
        path,
        identities=config.identities,
        images=config.images,
        seed=config.seed,
        jobs=config.jobs or os.cpu_count() or 1,
        progress=progress,
    )
    save_config(config, "data.synth", path / "synth.toml")
    seconds = time.perf_counter() - start
    return [
        f"{len(store)} images of {len(store.identities)} identities in {path} ({seconds:.1f} s)",
        f"digest {store.digest}",
    ]


def _scenes(config: SynthConfig, folder: Path, progress: Progress) -> list[str]:
    from fedfr_edge import atomic
    from fedfr_edge.data.sheet import save_png
    from fedfr_edge.data.synth.generate import identity_name
    from fedfr_edge.data.synth.scene import render_scene
    from fedfr_edge.data.synth.seeds import stream

    truth = []
    for number in range(config.scene_count):
        draw = stream(config.seed, "who is in the scene", number)
        who = [int(i) for i in draw.choice(config.identities, config.scene_people, replace=False)]
        scene = render_scene(
            config.seed, number, who, height=config.height, width=config.width, frontal=config.frontal
        )
        name = f"scene-{number:04d}.png"
        save_png(scene.image, folder / name)
        people = [{**person, "name": identity_name(person["identity"])} for person in scene.truth()]
        truth.append({"file": name, "height": config.height, "width": config.width, "people": people})
        progress("rendering scenes", number + 1, config.scene_count)
    atomic.write_text(folder / TRUTH, json.dumps({"seed": config.seed, "scenes": truth}, indent=1) + "\n")
    save_config(config, "data.synth", folder / "synth.toml")
    return [f"{config.scene_count} photographs in {folder}, who and where in {folder / TRUTH}"]


def _check(config: SynthConfig, progress: Progress) -> tuple[list[str], bool]:
    from fedfr_edge.data.synth import fairness
    from fedfr_edge.vision.detect import open_detector

    detector = open_detector(config.detector)
    faces = fairness.check_detector(detector, scenes=config.check_scenes, seed=config.seed, progress=progress)
    pixels = fairness.check_pixels(
        identities=config.identities, images=config.images, seed=config.seed, progress=progress
    )
    found, hidden = faces.rate >= fairness.DETECTOR_BAR, pixels.tar < fairness.PIXEL_BAR
    few = (
        "" if pixels.false_accepts >= 10 else "; fewer than ten false accepts: give more identities or images"
    )
    lines = [
        f"{_mark(found)} {detector.name} finds the face in {faces.rate:.1%} of frontal scenes "
        f"({faces.found} of {faces.scenes}; IoU ≥ {fairness.NEAR_ENOUGH}), bar {fairness.DETECTOR_BAR:.0%}; "
        f"landmarks off by {faces.landmark_error:.1%} of the distance between the eyes",
        f"{_mark(hidden)} raw pixels verify people at TAR {pixels.tar:.1%} at FAR {pixels.far:g} "
        f"({pixels.mated} mated, {pixels.non_mated} non-mated pairs, {pixels.false_accepts} false accepts"
        f"{few}), bar below {fairness.PIXEL_BAR:.0%}",
    ]
    return lines, found and hidden


def _mark(passed: bool) -> str:
    return "pass" if passed else "MISS"


COMMAND = Command(
    section="data.synth",
    config=SynthConfig,
    run=run,
    help=(
        "Render people who do not exist: aligned crops into a store (--out), whole photographs with "
        "their true boxes and landmarks (--scenes), or both; --check measures whether a real detector "
        "finds the faces (it should) and whether raw pixels tell people apart (they should not)."
        "\n\n"
        "In: nothing but the seed; the same seed renders the same people on every machine of a kind, and "
        "a store's person 7 is the scenes' person 7.\n\n"
        "Out: a store that everything else reads; PNG files and truth.json; synth.toml with the settings. "
        "Exit status 1 if a check misses its bar."
    ),
)
