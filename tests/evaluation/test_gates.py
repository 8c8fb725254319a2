"""Second gates and several frames: against plain loops, and the command on small stores."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from fedfr_edge.cli import main
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.gates import (
    Device,
    Logins,
    Probes,
    Way,
    accepted_share,
    compare_ways,
    decide,
    films,
    threshold_for,
)


def probes(seed: int, people: int, each: int, *, mated: bool, people_enrolled: int = 4) -> Probes:
    """Scores in tenths, so that there are ties."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), each)
    count = len(person)
    mate = person % people_enrolled if mated else np.full(count, -1)
    found = rng.integers(0, people_enrolled, count)
    if mated:
        found = np.where(rng.random(count) < 0.7, mate, found)
    score = (np.round(rng.random(count), 1) + (0.3 if mated else 0)).astype(np.float32)
    second = {"backbone": np.round(rng.random(count), 1).astype(np.float32)}
    return Probes(score, found, second, person, mate, ((f"group {seed}", people),))


WAYS = [
    Way("one"),
    Way("second", space="backbone", limit=0.4),
    Way("2 of 2", 2, 2),
    Way("2 of 3", 2, 3),
    Way("3 of 5, second", 3, 5, "backbone", 0.3),
]


def accepts(group: Probes, rows: list[int], way: Way, threshold: float) -> bool:
    """As the device decides: k frames accepted as the same person, who is the right one if there is one."""
    people = []
    for row in rows:
        passes = way.space is None or group.second[way.space][row] >= way.limit
        if group.score[row] >= threshold and passes:
            people.append(int(group.found[row]))
    agreed = [who for who in set(people) if people.count(who) >= way.k]
    mate = int(group.mate[rows[0]])
    return mate in agreed if mate >= 0 else bool(agreed)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("mated", [True, False])
def test_a_logins_number_is_where_it_begins_to_be_refused(way: Way, mated: bool) -> None:
    group = probes(1, 6, 11, mated=mated)
    frames = films(group.person, way.n, 2, np.random.default_rng(0))
    logins = decide(group, frames, way)
    scores = np.unique(group.score)
    for threshold in [*scores, *(scores + np.float32(0.05))]:  # at ties, and between
        expected = [accepts(group, list(rows), way, float(threshold)) for rows in frames]
        assert (logins.score >= threshold).tolist() == expected
    assert logins.person.tolist() == [int(group.person[rows[0]]) for rows in frames]


def test_films_are_of_different_faces_of_one_person() -> None:
    person = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
    frames = films(person, 3, 4, np.random.default_rng(0))
    assert frames.shape == (4 * (2 + 1), 3)  # the third person has too few
    for rows in frames:
        assert len(set(rows)) == 3
        assert len(set(person[rows])) == 1
    assert films(person, 1, 4, np.random.default_rng(0))[:, 0].tolist() == list(range(11))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.61, 1.0])
def test_the_threshold_is_the_highest_that_accepts_enough(share: float) -> None:
    rng = np.random.default_rng(2)
    score = np.round(rng.random(60), 1).astype(np.float32)
    score[rng.random(60) < 0.2] = -np.inf
    logins = Logins(score, rng.integers(0, 7, 60))
    weights = rng.multinomial(7, np.full(7, 1 / 7), 15).astype(float)
    found = threshold_for(logins, share, weights)
    rates = accepted_share(logins, found, weights)
    for threshold, rate, weight in zip(found, rates, weights, strict=True):
        of_each = weight[logins.person]

        def accepted(limit: float, of_each: np.ndarray = of_each) -> float:
            return float(of_each[score >= limit].sum() / of_each.sum())

        enough = [
            float(t) for t in np.unique(score[np.isfinite(score)]) if accepted(float(t)) >= share - 1e-9
        ]
        if not enough:
            assert np.isneginf(threshold)
            assert np.isnan(rate)
        else:
            assert threshold == max(enough)
            assert rate == pytest.approx(accepted(threshold))


def test_means_over_clients_and_differences_on_the_same_draws() -> None:
    devices = [
        Device(
            f"client-{number}",
            probes(number, 4, 12, mated=True),
            {"strangers": probes(10 + number, 9, 6, mated=False)},
        )
        for number in range(3)
    ]
    ways = [
        {device.client: way for device in devices} for way in (Way("one"), Way("again"), Way("2 of 3", 2, 3))
    ]
    ((one, again, several),) = compare_ways(devices, ways, [0.5], resampling=Resampling(50, 3))
    by_hand = []
    for device in devices:
        own = device.genuine
        right = np.where(own.found == own.mate, own.score, -np.inf)
        limits = [t for t in np.unique(right) if np.mean(right >= t) >= 0.5]
        by_hand.append(float(np.mean(device.strangers["strangers"].score >= max(limits))))
    assert one.accepted["strangers"] == pytest.approx(np.mean(by_hand))
    assert one.genuine >= 0.5
    assert again.accepted == one.accepted
    assert again.differences["strangers"] == (0.0, 0.0, 0.0)
    interval = several.intervals["strangers"]
    assert interval is not None
    assert interval.low <= several.accepted["strangers"] <= interval.high
    gap, low, high = several.differences["strangers"]
    assert gap == pytest.approx(several.accepted["strangers"] - one.accepted["strangers"])
    assert low <= high


def test_one_person_is_drawn_alike_wherever_they_stand() -> None:
    """Ana's three colleagues are genuine on one device and strangers on another: one draw for both."""
    group = probes(3, 5, 8, mated=False)
    both = dataclasses.replace(group, drawn=(("left", 2), ("right", 3)))
    resampling = Resampling(30, 1)
    device = Device("c", probes(4, 4, 9, mated=True), {"strangers": both})
    ((one,),) = compare_ways([device], [{"c": Way("one")}], [0.5], resampling=resampling)
    weights = np.concatenate([resampling.weights("left", 2), resampling.weights("right", 3)], axis=1)
    genuine = decide(device.genuine, films(device.genuine.person, 1, 1, np.random.default_rng(0)), Way("one"))
    limits = threshold_for(genuine, 0.5, resampling.weights("group 4", 4))
    rates = [
        float(w[both.person][both.score >= limit].sum() / w[both.person].sum())
        for w, limit in zip(weights, limits, strict=True)
    ]
    interval = one.intervals["strangers"]
    assert interval is not None
    low, high = np.quantile(rates, [0.025, 0.975])
    assert interval.low == pytest.approx(min(low, one.accepted["strangers"]))
    assert interval.high == pytest.approx(max(high, one.accepted["strangers"]))


def test_frames_help_as_the_binomial_says() -> None:
    """Independent frames: 2 of 3 turn a rate p into 3 p² − 2 p³, for strangers and for genuine logins."""
    rng = np.random.default_rng(4)

    def faces(people: int, shift: float, mate: int) -> Probes:
        count = people * 300
        score = (rng.normal(size=count) + shift).astype(np.float32)
        return Probes(
            score,
            np.zeros(count, np.int64),
            {},
            np.repeat(np.arange(people), 300),
            np.full(count, mate),
            (("people", people),),
        )

    device = Device("c", faces(20, 2.0, 0), {"strangers": faces(200, 0.0, -1)})
    ways = [{"c": Way("one")}, {"c": Way("2 of 3", 2, 3)}]
    ((one, three),) = compare_ways([device], ways, [0.7], draws=1, resampling=Resampling(20, 0))

    def normal_tail(x: float) -> float:
        return math.erfc(x / math.sqrt(2)) / 2

    def two_of_three(p: float) -> float:
        return 3 * p**2 - 2 * p**3

    single = next(t for t in np.arange(4, -4, -1e-3) if normal_tail(t - 2) >= 0.7)
    assert one.accepted["strangers"] == pytest.approx(normal_tail(single), rel=0.05)
    triple = next(t for t in np.arange(4, -4, -1e-3) if two_of_three(normal_tail(t - 2)) >= 0.7)
    assert three.accepted["strangers"] == pytest.approx(two_of_three(normal_tail(triple)), rel=0.12)


# --- the command -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two clients of three people each, ten public people, and strangers; tiny models."""
    import runpy

    from fedfr_edge.data.split import make_split
    from fedfr_edge.data.store import FaceStore, StoreWriter

    tiny = runpy.run_path(str(Path(__file__).parents[1] / "recognition" / "tiny_model.py"))
    folder = tmp_path_factory.mktemp("gates")
    rng = np.random.default_rng(0)

    def store(name: str, people: int, seed: int) -> FaceStore:
        with StoreWriter(folder / name, source="made up", licence="none") as writer:
            for who, face in enumerate(tiny["faces"](people, seed=seed)):
                for number in range(10):
                    noise = rng.integers(-90, 91, (14, 14, 3)).repeat(8, 0).repeat(8, 1)
                    image = np.clip(face.astype(int) + noise, 0, 255).astype(np.uint8)
                    writer.add(image, f"{name}{who:02d}", f"{name}{who:02d}/{number}")
            return writer.finish()

    faces = store("faces", 16, 5)
    split = make_split(faces, public=10, clients=2, per_client=3, train_images=4, test_images=6, seed=0)
    split.save(folder / "split.json")
    store("others", 12, 6)
    paths = {name: str(folder / name) for name in ("faces", "others", "split.json")}
    for number in range(2):
        model = tiny["build"](personal=True, seed=number)
        for entry in model.metadata_props:
            entry.value = entry.value.replace("client-00", f"client-0{number}")
        file = folder / f"p{number}.onnx"
        file.write_bytes(model.SerializeToString())
        paths[f"p{number}"] = str(file)
    paths["generic"] = str(tiny["write"](folder / "g.onnx", seed=5))
    return paths


def arguments(stage: dict[str, str], out: Path) -> list[str]:
    models = itertools.chain.from_iterable(("--model", stage[name]) for name in ("p0", "p1"))
    return [
        *("evaluate", "gates", "--store", stage["faces"], "--split", stage["split.json"], *models),
        *("--strangers", stage["others"], "--intervals", "20", "--out", str(out)),
    ]


def test_the_command(stage: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--generic", stage["generic"], "--genuine", "0.9", "--frames", "2/3", "--enrol", "2"]
    assert main([*arguments(stage, tmp_path / "a"), *wanted]) == 0
    assert "False accepts where 90 % of genuine logins are accepted" in capsys.readouterr().out
    record = json.loads((tmp_path / "a" / "gates.json").read_text())
    (result,) = record["results"]
    names = [way["way"] for way in result["ways"]]
    assert names == [
        "one gate",
        *(f"{space} lets {share} % pass" for space in ("backbone", "generic") for share in (10, 3, 1)),
        "2 of 3 frames",
        "2 of 3 frames, backbone lets 10 % pass",
        "2 of 3 frames, generic lets 10 % pass",
    ]
    assert record["counts"][0] == {
        "client": "client-00",
        "genuine": {"people": 3, "faces": 18},
        "strangers": {"people": 12, "faces": 120},
        "other clients' people": {"people": 3, "faces": 18},
    }
    assert set(result["ways"][1]["limits"]) == {"client-00", "client-01"}
    assert (tmp_path / "a" / "gates.md").read_text().count("|") > 50
    assert main([*arguments(stage, tmp_path / "b"), *wanted]) == 0
    assert json.loads((tmp_path / "b" / "gates.json").read_text()) == record


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--frames", "4/3"], "expected k of n"),
        (["--frames", "two"], "expected K/N"),
        (["--frames", "2/11"], "has 11 images"),
        (["--model", "{generic}"], "expected that of a client"),
    ],
)
def test_bad_input(
    stage: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main([*arguments(stage, tmp_path / "x"), *(text.format(**stage) for text in more)]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "x").exists()
