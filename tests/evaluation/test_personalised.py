"""The personalised protocol on cases small enough to count, and its numbers at the paper's size."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from lookup_encoder import LookupEncoder, numbered_faces, unit

from fedfr_edge.errors import DataError, ModelError
from fedfr_edge.evaluation import metrics, personalised, tail
from fedfr_edge.evaluation.embedding import OneSpace
from fedfr_edge.evaluation.outcome import PLOT_FMRS, PLOT_FPIRS, MeanRate
from fedfr_edge.evaluation.personalised import (
    ClientEmbeddings,
    ClientRows,
    count_trials,
    evaluate_client,
    evaluate_models,
    evaluate_personalised,
)
from fedfr_edge.evaluation.tables import client_table, comparison_table


def layout(clients: int, people: int, train: int, test: int) -> tuple[dict[str, ClientRows], np.ndarray]:
    """Rows and labels of a store that holds each person's training images, then test images."""
    per_person = train + test
    labels = np.repeat(np.arange(clients * people), per_person)
    rows = np.arange(len(labels)).reshape(clients, people, per_person)
    return (
        {
            f"client-{c:02d}": ClientRows(rows[c, :, :train].ravel(), rows[c, :, train:].ravel())
            for c in range(clients)
        },
        labels,
    )


def test_trial_counts_of_the_paper() -> None:
    clients, labels = layout(clients=40, people=100, train=60, test=40)
    paper = count_trials(clients, labels, "paper")
    standard = count_trials(clients, labels, "standard")
    assert count_trials(clients, labels, "reference") == standard
    assert {count.mated for count in paper.values()} == {78_000}
    assert {count.non_mated for count in paper.values()} == {624_000_000}
    assert {count.non_mated for count in standard.values()} == {631_920_000}
    assert {(count.mated_probes, count.non_mated_probes) for count in standard.values()} == {(4000, 156_000)}


def cluster(seed: int, labels: np.ndarray, noise: float, d: int = 16) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(labels.max() + 1, d))
    return unit(centres[labels] + noise * generator.normal(size=(len(labels), d)))


@pytest.mark.parametrize("reading", ["paper", "standard", "reference"])
def test_counts_and_rates_against_a_loop_over_pairs(reading: str) -> None:
    clients, labels = layout(clients=3, people=4, train=3, test=5)
    table = cluster(0, labels, noise=0.8)
    counts = count_trials(clients, labels, reading)
    fars, fpirs = (0.05, 0.01), (0.1, 0.5)
    result = evaluate_personalised(
        dict.fromkeys(clients, LookupEncoder(table)),
        numbered_faces(len(labels)),
        labels,
        clients,
        reading=reading,
        fars=fars,
        fpirs=fpirs,
    )
    assert [client.client for client in result.clients] == sorted(clients)
    for client in result.clients:
        own = clients[client.client].probes
        others = np.concatenate([rows.probes for name, rows in clients.items() if name != client.client])
        mated, non_mated = {}, {}
        for i, j in itertools.combinations(own, 2):
            score = float(table[i] @ table[j])
            if labels[i] == labels[j]:
                mated[i, j] = score
            elif reading != "paper":
                non_mated[i, j] = score
        non_mated |= {(i, j): float(table[i] @ table[j]) for i in own for j in others}
        assert (len(mated), len(non_mated)) == (4 * math.comb(5, 2), counts[client.client].non_mated)
        assert counts[client.client].mated == len(mated)
        pair = list(mated.values()), list(non_mated.values())
        for far, rate in zip(fars, client.verification, strict=True):
            expected = metrics.tar_at_far(*pair, far)
            assert (rate.trials, rate.non_mated) == (expected.trials, expected.non_mated)
            if reading == "reference":
                assert rate.value == pytest.approx(verify_by_bins(*pair, far), abs=1e-12)
                assert rate.threshold == pytest.approx(expected.threshold, abs=2e-3)
                continue
            assert (rate.value, rate.false_accepts) == (expected.value, expected.false_accepts)
            assert rate.threshold == pytest.approx(expected.threshold, abs=1e-6)
        assert client.mated_histogram.sum() == len(mated)
        assert client.non_mated_histogram.sum() == len(non_mated)
        for fmr, tar in zip(PLOT_FMRS, client.tar_curve, strict=True):
            if fmr * len(non_mated) < 1:
                assert math.isnan(tar)
            else:
                assert tar == pytest.approx(metrics.tar_at_far(*pair, fmr).value, abs=1e-12)
        hardest_by_loop(client.hardest, labels, mated, non_mated)

        # 1:N, with templates and searches written out.
        gallery = clients[client.client].gallery
        people = sorted({int(label) for label in labels[own]})
        templates = {p: table[gallery[labels[gallery] == p]].astype(np.float64).mean(axis=0) for p in people}
        if reading != "reference":
            templates = {p: t / np.linalg.norm(t) for p, t in templates.items()}
        for fpir, rate in zip(fpirs, client.identification, strict=True):
            assert rate.value == identify_by_loop(reading, table, labels, own, others, templates, fpir)
            assert rate.trials == 20
            assert rate.non_mated == (60 if reading == "reference" else 40)
        for place in (40, 60, 75, 79):
            fpir = float(PLOT_FPIRS[place])
            curve = client.tpir_curve[place]
            if fpir * rate.non_mated < 1:
                assert math.isnan(curve)
            else:
                assert curve == identify_by_loop(reading, table, labels, own, others, templates, fpir)


def verify_by_bins(mated: list[float], non_mated: list[float], far: float) -> float:
    """The published code's TAR at a false-accept rate, written out: bins of 0.001, a line between two."""
    points = []
    bins = [[int((np.float32(score) + 1) * 1000) for score in kind] for kind in (mated, non_mated)]
    for edge in range(0, 2002):
        passing = [sum(number >= edge for number in kind) for kind in bins]
        points.append((passing[1] / len(non_mated), passing[0] / len(mated)))
    above = min(point for point in points if point[0] > far)
    below = max(point for point in points if point[0] <= far)
    above = max(point for point in points if point[0] == above[0])
    return below[1] + (far - below[0]) / (above[0] - below[0]) * (above[1] - below[1])


def hardest_by_loop(hardest, labels, mated, non_mated) -> None:  # type: ignore[no-untyped-def]
    """The best score of every two people, the worst of every person."""
    for pairs, scores, expected, sign in (
        (hardest.false_accepts, hardest.false_accept_scores, non_mated, -1),
        (hardest.false_rejects, hardest.false_reject_scores, mated, 1),
    ):
        best: dict[tuple[int, ...], float] = {}
        for (i, j), score in sorted(expected.items(), key=lambda item: sign * item[1]):
            best.setdefault(tuple(sorted({int(labels[i]), int(labels[j])})), score)
        assert scores == pytest.approx(list(best.values())[:20], abs=1e-6)
        for pair, score in zip(pairs.tolist(), scores, strict=True):
            assert expected.get(tuple(pair), expected.get(tuple(pair[::-1]))) == pytest.approx(
                score, abs=1e-6
            )


def identify_by_loop(reading, table, labels, own, others, templates, fpir) -> float:  # type: ignore[no-untyped-def]
    mates, best_other, non_genuine = [], [], []
    for i in own:
        scores = {p: float(table[i] @ t) for p, t in templates.items()}
        mates.append(scores.pop(int(labels[i])))
        best_other.append(max(scores.values()))
        non_genuine += scores.values()
    best = [max(float(table[i] @ t) for t in templates.values()) for i in others]
    non_genuine += [float(table[i] @ t) for i in others for t in templates.values()]
    if reading == "reference":
        limit = sorted(non_genuine)[-math.ceil((len(own) + len(others)) * fpir)]
        return sum(mate > limit for mate in mates) / len(own)
    limit = sorted(best)[-int(fpir * len(best)) - 1]
    hits = [mate > limit and mate > other for mate, other in zip(mates, best_other, strict=True)]
    return sum(hits) / len(own)


@pytest.mark.parametrize("guess", [None, 99.0])
def test_a_client_whose_scores_are_not_all_kept_has_the_same_rates(
    guess: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact also where most scores are dropped, and where the floor was guessed too high at first."""
    clients, labels = layout(clients=4, people=8, train=2, test=6)
    table = cluster(9, labels, noise=0.8)
    own, others = clients["client-00"].probes, clients["client-00"].gallery
    rest = np.concatenate([rows.probes for name, rows in clients.items() if name != "client-00"])
    given = ClientEmbeddings(
        table[others], labels[others], table[own], labels[own], table[rest], labels[rest]
    )
    readings, rates = ("standard", "paper", "reference"), (0.02, 0.001)
    kept = evaluate_client("c", given, readings=readings, fars=rates, fpirs=(0.1,))
    monkeypatch.setattr(tail, "KEEP_AT_LEAST", 1)
    monkeypatch.setattr(tail, "SORTED", 20)
    monkeypatch.setattr(tail, "SAMPLE", 2000)
    if guess is not None:
        monkeypatch.setattr(personalised, "guess_floor", lambda *_: guess)
    streamed = evaluate_client("c", given, readings=readings, fars=rates, fpirs=(0.1,))
    for one, other in zip(streamed, kept, strict=True):
        assert one.verification == other.verification
        assert one.identification == other.identification
        known = ~np.isnan(other.tar_curve) & (PLOT_FMRS < 0.001)
        assert np.array_equal(one.tar_curve[known], other.tar_curve[known])
        known = ~np.isnan(other.tar_curve)
        assert one.tar_curve[known] == pytest.approx(other.tar_curve[known], abs=0.1)
        assert one.non_mated_histogram.sum() == pytest.approx(other.non_mated_histogram.sum(), abs=100)


def planar(degrees: list[float]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_the_readings_differ_where_they_should() -> None:
    """Two people of one household, 5° apart; strangers are 90° away."""
    household = ClientEmbeddings(
        gallery=planar([-30, 30, 8, 12]),  # person 0, at 0°, is scattered; person 1, at 10°, is not
        gallery_labels=np.array([0, 0, 1, 1]),
        local=planar([0, 0, 5.5, 10]),
        local_labels=np.array([0, 0, 1, 1]),
        others=planar([90, 100, 110, 120]),
        others_labels=np.array([2, 3, 4, 5]),
    )
    standard, reference, paper = evaluate_client(
        "c", household, readings=("standard", "reference", "paper"), fars=(0.05,), fpirs=(0.25, 0.5)
    )
    # 1:1, paper: strangers only, 4 × 4, all far away; standard: also the 4 pairs 0-1, the nearest at 5.5°.
    assert (paper.verification[0].non_mated, standard.verification[0].non_mated) == (16, 20)
    assert paper.verification[0].value == 1.0
    # 5% of 20 allow one: the threshold lies just above the second nearest non-mated pair (also at 5.5°),
    # so nothing non-mated passes, but both mated pairs (0° and 4.5° apart) do.
    assert (standard.verification[0].value, standard.verification[0].false_accepts) == (1.0, 0)
    # 1:N, standard: each probe is nearest to its own template (0° or 10°), strangers are far.
    assert standard.identification[0].value == 1.0
    assert standard.identification[0].threshold < 0.2
    # 1:N, reference: person 0's mean is left at length cos 30°, person 1's at cos 2°. A quarter of eight
    # probes is two: the second largest non-genuine score is that of the probes at 0° with person 1,
    # cos 2° · cos 10°, which person 0's own probes (cos 30°) do not reach and person 1's do.
    cos = [math.cos(math.radians(degrees)) for degrees in range(31)]
    assert reference.identification[0].threshold == pytest.approx(cos[2] * cos[10], abs=1e-6)
    assert reference.identification[0].value == 0.5
    assert (reference.rank_one, standard.rank_one) == (0.5, 1.0)
    # The paper's text says nothing else on 1:N than the standard; the reference counts its pairs.
    assert paper.identification == standard.identification
    assert reference.verification[0].non_mated == 20


def test_shared_encoder_embeds_once_and_personal_ones_only_what_they_need() -> None:
    clients, labels = layout(clients=3, people=2, train=2, test=3)
    faces = numbered_faces(len(labels))
    shared = LookupEncoder(cluster(1, labels, 0.3))
    evaluate_personalised(dict.fromkeys(clients, shared), faces, labels, clients)
    assert shared.faces_seen == len(labels)
    personal = {client: LookupEncoder(cluster(2, labels, 0.3), client) for client in clients}
    evaluate_personalised(personal, faces, labels, clients, name="personal")
    assert {encoder.faces_seen for encoder in personal.values()} == {3 * 2 * 3 + 2 * 2}


class TwoSpaces:
    """A good and a useless embedding from one pass."""

    names = ("good", "useless")

    def __init__(self, table: np.ndarray) -> None:
        self.good, self.passes = LookupEncoder(table), 0

    def embed_each(self, faces: np.ndarray) -> tuple[np.ndarray, ...]:
        self.passes += 1
        good = self.good.embed(faces)
        return good, np.tile(np.eye(1, good.shape[1], dtype=np.float32), (len(faces), 1))


def test_several_spaces_and_readings_from_one_pass() -> None:
    clients, labels = layout(clients=2, people=3, train=2, test=4)
    model = TwoSpaces(cluster(3, labels, 0.2))
    reports: list[tuple[str, int, int]] = []
    results = evaluate_models(
        dict.fromkeys(clients, model),
        numbered_faces(len(labels)),
        labels,
        clients,
        readings=("standard", "paper", "reference"),
        progress=lambda *report: reports.append(report),
    )
    assert model.passes == 1
    assert [(r.name, r.reading) for r in results] == [
        ("good", "standard"),
        ("useless", "standard"),
        ("good", "paper"),
        ("useless", "paper"),
        ("good", "reference"),
        ("useless", "reference"),
    ]
    # An embedding that maps everybody to one point must get nothing in either reading.
    for result in results:
        value = result.verification[0].value
        # The reference's straight line from "accept none" to "accept all" gives it the false-accept rate.
        nothing = 0.01 if result.reading == "reference" else 0.0
        assert value > 0.5 if result.name == "good" else value == pytest.approx(nothing)
        assert result.name == "good" or result.identification[0].value == 0.0
        assert result.name == "good" or result.rank_one == 0.0
    ends = [what for what, done, total in reports if done == total]
    assert len(ends) == len(set(ends)) == 2


def test_default_rates_are_those_the_trials_carry_in_every_reading() -> None:
    clients, labels = layout(clients=2, people=3, train=1, test=4)  # 144 + 48 non-mated pairs, 12 strangers
    models = dict.fromkeys(clients, OneSpace(LookupEncoder(cluster(4, labels, 0.2))))
    faces = numbered_faces(len(labels))
    results = evaluate_models(models, faces, labels, clients, readings=("standard", "paper"))
    for result in results:
        assert [rate.far_target for rate in result.verification] == [1e-2]
        assert [rate.far_target for rate in result.identification] == [1e-1]
        assert not result.verification[0].supported
    asked = evaluate_models(models, faces, labels, clients, fars=(1e-6,), fpirs=(1e-3,))
    assert [rate.far_target for rate in asked[0].verification] == [1e-6]  # asked for: kept, and marked
    assert asked[0].verification[0].false_accepts == 0


def test_means_spread_and_worst_client() -> None:
    rates = [
        metrics.Rate(v, 10 + i, 0.5, 0.01, k, 1000 + i)
        for i, (v, k) in enumerate([(0.9, 12), (0.5, 10), (0.7, 30)])
    ]
    mean = MeanRate.over(["a", "b", "c"], rates)
    assert mean.value == pytest.approx(0.7)
    assert mean.spread == pytest.approx(0.2)  # sqrt((0.2² + 0.2² + 0) / 2)
    assert (mean.worst_client, mean.worst) == ("b", 0.5)
    assert (mean.trials, mean.non_mated, mean.false_accepts) == ((10, 12), (1000, 1002), 10)
    assert mean.supported
    one = MeanRate.over(["a"], rates[:1])
    assert math.isnan(one.spread)
    assert one.to_dict()["spread"] is None


def test_a_client_without_mated_pairs_does_not_blur_the_mean() -> None:
    lone = metrics.Rate(math.nan, 0, 0.5, 0.01, 12, 1000)
    mean = MeanRate.over(["a", "b"], [lone, metrics.Rate(0.4, 6, 0.5, 0.01, 9, 1000)])
    assert (mean.value, mean.worst_client, mean.trials) == (0.4, "b", (0, 6))
    assert not mean.supported
    assert math.isnan(MeanRate.over(["a"], [lone]).value)


def small_result():  # type: ignore[no-untyped-def]
    clients, labels = layout(clients=2, people=3, train=2, test=4)
    encoder = LookupEncoder(cluster(5, labels, 0.5), "Θ_g")
    return evaluate_personalised(
        dict.fromkeys(clients, encoder),
        numbered_faces(len(labels)),
        labels,
        clients,
        fars=(0.1, 0.01),
        fpirs=(0.1,),
    )


def test_tables_say_how_much_stands_behind_each_rate() -> None:
    result = small_result()
    table = comparison_table([result])
    assert table.header == ("model", "TAR@FAR 1e-1", "TAR@FAR 1e-2", "TPIR@FPIR 1e-1", "rank 1")
    assert "18 mated and 192 non-mated pairs" in table.notes[1]
    assert "12 mated and 12 non-mated probes against 3 people" in table.notes[1]
    assert "†" not in table.rows[0][1]  # 0.1 · 192 allows nineteen
    assert table.rows[0][2].endswith("†1")  # 0.01 · 192 allows one
    assert table.notes[-1].startswith("†k")
    markdown = table.to_markdown().splitlines()
    assert len({line.count("|") for line in markdown if line.startswith("|")}) == 1
    by_client = client_table(result)
    assert len(by_client.rows) == 2 * 3
    assert all(len(row) == len(by_client.header) for row in by_client.rows)
    worst = result.verification[0]
    assert f"TAR@FAR 1e-1: {worst.worst_client}" in by_client.notes[0]


def test_results_go_to_json_and_arrays() -> None:
    result = small_result()
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["verification"][1]["supported"] is False
    assert data["verification"][1]["least_false_accepts"] == 1
    assert data["clients"][0]["verification"][0]["trials"] == 18
    arrays = result.to_arrays()
    assert arrays["tar"].shape == (2, len(PLOT_FMRS))
    assert arrays["histogram_edges"].size == arrays["mated_histogram"].shape[1] + 1


def test_bad_protocols_are_refused() -> None:
    clients, labels = layout(clients=2, people=2, train=2, test=2)
    faces, encoder = numbered_faces(len(labels)), LookupEncoder(cluster(6, labels, 0.2))
    models = dict.fromkeys(clients, encoder)
    with pytest.raises(DataError, match="no model for client-01"):
        evaluate_personalised({"client-00": encoder}, faces, labels, clients)
    with pytest.raises(DataError, match="at least two"):
        evaluate_personalised(models, faces, labels, {"client-00": clients["client-00"]})
    bare = {**clients, "client-00": ClientRows(clients["client-00"].gallery[:2], clients["client-00"].probes)}
    with pytest.raises(DataError, match="no training image"):
        evaluate_personalised(models, faces, labels, bare)
    twice = {**clients, "client-02": clients["client-00"]}
    with pytest.raises(DataError, match="identity 0 has test images in"):
        evaluate_personalised(dict.fromkeys(twice, encoder), faces, labels, twice)


@pytest.mark.parametrize("fault", [math.nan, 0.0, 2.0])
def test_embeddings_that_are_no_unit_vectors_are_refused(fault: float) -> None:
    clients, labels = layout(clients=2, people=2, train=2, test=2)
    table = cluster(7, labels, 0.2)
    table[3] *= fault
    with pytest.raises(ModelError, match="expected 1"):
        evaluate_personalised(
            dict.fromkeys(clients, LookupEncoder(table)), numbered_faces(len(labels)), labels, clients
        )


def test_one_person_for_each_client_is_evaluated_in_every_reading() -> None:
    """Then there are fewer non-genuine scores than probes, which the reference's ranks count by."""
    generator = np.random.default_rng(8)
    labels = np.repeat(np.arange(3), 6)
    table = unit(generator.normal(size=(18, 8)))
    clients = {
        f"client-{k}": ClientRows(gallery=6 * k + np.arange(3), probes=6 * k + np.arange(3, 6))
        for k in range(3)
    }
    models = {client: OneSpace(LookupEncoder(table, "model")) for client in clients}
    results = evaluate_models(
        models, numbered_faces(18), labels, clients, readings=("standard", "paper", "reference")
    )
    for result in results:
        for client in result.clients:
            assert np.nanmax(client.tpir_curve) <= 1.0
            assert client.rank_one == 1.0
