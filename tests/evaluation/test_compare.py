"""Two models on the same draws: in memory, from files, and what cannot be compared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from lookup_encoder import LookupEncoder, numbered_faces, unit

from fedfr_edge.errors import DataError, ModelError
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.compare import (
    NO_DIFFERENCE,
    compare,
    compare_all_pairs,
    compare_files,
    difference_table,
)
from fedfr_edge.evaluation.outcome import PersonalisedResult
from fedfr_edge.evaluation.personalised import (
    ClientEmbeddings,
    ClientRows,
    evaluate_client,
    evaluate_personalised,
)
from fedfr_edge.evaluation.tables import DASH, client_table, comparison_table

PEOPLE, TRAIN, TEST = 12, 2, 5


def layout(clients: int = 3) -> tuple[dict[str, ClientRows], np.ndarray]:
    labels = np.repeat(np.arange(clients * PEOPLE), TRAIN + TEST)
    rows = np.arange(len(labels)).reshape(clients, PEOPLE, TRAIN + TEST)
    return (
        {
            f"client-{c:02d}": ClientRows(rows[c, :, :TRAIN].ravel(), rows[c, :, TRAIN:].ravel())
            for c in range(clients)
        },
        labels,
    )


def faces_of(noise: float, seed: int = 0) -> np.ndarray:
    """The same people and the same noise, more or less of it: models that fail at the same images."""
    _, labels = layout()
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(labels.max() + 1, 16))
    return unit(centres[labels] + noise * draw.normal(size=(len(labels), 16)))


def evaluated(noise: float, name: str, seed: int = 0, **settings: object) -> PersonalisedResult:
    clients, labels = layout()
    encoder = LookupEncoder(faces_of(noise, seed), name)
    arguments = {"fars": (0.01, 1e-4), "fpirs": (0.1,), "resampling": Resampling(100, 3), **settings}
    return evaluate_personalised(
        dict.fromkeys(clients, encoder), numbered_faces(len(labels)), labels, clients, **arguments
    )


def test_a_better_model_is_shown_to_be_better_and_an_equal_one_is_not() -> None:
    good, bad, same = evaluated(0.55, "good"), evaluated(0.8, "bad"), evaluated(0.8, "same")
    comparison = compare(bad, good)
    tar = comparison.means[0]
    assert (tar.measure, tar.client, tar.verdict) == ("TAR@FAR 1e-2", None, "higher")
    assert tar.value == pytest.approx(good.verification[0].value - bad.verification[0].value)
    assert compare(good, bad).means[0].verdict == "lower"
    assert tar.interval is not None
    # 12,960 pairs do not carry 1e-4: no difference is told at a rate that no side has.
    assert [one.measure for one in comparison.means] == ["TAR@FAR 1e-2", "TPIR@FPIR 1e-1", "rank 1"]
    assert {one.client for one in comparison.differences} == {None, "client-00", "client-01", "client-02"}
    for one in compare(bad, same).differences:
        assert (one.value, one.verdict) == (0.0, NO_DIFFERENCE)
    # The draws are the same, so that the difference is surer than either of the two values.
    widths = [rate.interval.high - rate.interval.low for rate in (bad.verification[0], good.verification[0])]
    assert tar.interval.high - tar.interval.low < sum(widths)
    assert good.replicates is not None
    assert bad.replicates is not None
    differences = good.replicates.tar[:, 0] - bad.replicates.tar[:, 0]
    assert tar.interval.low == pytest.approx(np.quantile(differences, 0.025))


def test_means_of_replicates_are_the_means_replicate_by_replicate() -> None:
    result = evaluated(0.7, "one")
    assert result.replicates is not None
    by_hand = np.mean([client.replicates.tar for client in result.clients], axis=0)
    assert result.replicates.tar == pytest.approx(by_hand)
    mean = result.verification[0]
    assert mean.interval is not None
    assert mean.interval.low <= mean.value <= mean.interval.high
    # The mean over three clients is surer than each of them.
    widths = [client.verification[0].interval for client in result.clients]
    assert mean.interval.high - mean.interval.low < max(one.high - one.low for one in widths if one)
    band = result.tar_band
    assert band is not None
    known = ~np.isnan(result.tar_curve)
    assert (band[0][known] <= result.tar_curve[known]).all()
    assert (band[1][known] >= result.tar_curve[known]).all()
    assert np.isnan(band[:, ~known]).all()


def test_the_same_seed_gives_the_same_intervals_and_another_one_others() -> None:
    one, again = evaluated(0.7, "one"), evaluated(0.7, "one")
    assert one.to_dict() == again.to_dict()
    other = evaluated(0.7, "one", resampling=Resampling(100, 4))
    assert one.verification[0].value == other.verification[0].value
    assert one.verification[0].interval != other.verification[0].interval


def test_tables_print_intervals_and_no_rate_that_is_not_carried() -> None:
    result = evaluated(0.7, "one")
    table = comparison_table([result])
    assert table.header[:4] == ("model", "TAR@FAR 1e-2", "95 %", "TAR@FAR 1e-4")
    low, high = table.rows[0][2].split(" … ")
    assert float(low) <= float(table.rows[0][1].split()[0]) <= float(high)
    assert table.rows[0][3:5] == (DASH, DASH)
    assert any("100 draws of the 36 people" in note for note in table.notes)
    assert any("do not allow a single false accept" in note for note in table.notes)
    rows = client_table(result).rows
    assert rows[1][2:4] == (DASH, DASH)
    without = comparison_table([evaluated(0.7, "one", resampling=None)])
    assert "95 %" not in without.header
    differences = difference_table(compare_all_pairs([evaluated(0.8, "bad"), result]))
    assert differences.rows[0][0] == "one − bad"
    assert differences.rows[0][-1] in ("higher", NO_DIFFERENCE)
    assert compare_all_pairs([evaluated(0.8, "bad", resampling=None), result]) == []


def written(folder: Path, results: list[PersonalisedResult], pairing: str | None = "a") -> Path:
    folder.mkdir()
    record = {"intervals": {"pairing": pairing}, "results": [result.to_dict() for result in results]}
    (folder / "personalised.json").write_text(json.dumps(record))
    arrays = {f"{r.reading}/{r.name}/{key}": value for r in results for key, value in r.to_arrays().items()}
    np.savez(folder / "curves.npz", **arrays)
    return folder


def test_files_give_what_memory_gives(tmp_path: Path) -> None:
    bad, good = evaluated(0.8, "bad"), evaluated(0.6, "good")
    one, other = written(tmp_path / "one", [bad]), written(tmp_path / "other", [good])
    assert compare_files(one, other, "bad", "good") == compare(bad, good)
    with pytest.raises(DataError, match="has no good in the standard reading, it has bad"):
        compare_files(one, other, "good", "good")
    with pytest.raises(DataError, match="not evaluated on the same draws"):
        compare_files(one, written(tmp_path / "third", [good], "b"), "bad", "good")
    with pytest.raises(DataError, match="without intervals"):
        compare_files(written(tmp_path / "fourth", [good], None), one, "good", "bad")
    with pytest.raises(DataError, match="cannot read"):
        compare_files(tmp_path, one, "good", "bad")
    with pytest.raises(DataError, match="100 replicates, good 50"):
        compare(bad, evaluated(0.6, "good", resampling=Resampling(50, 3)))
    with pytest.raises(DataError, match="without intervals"):
        compare(bad, evaluated(0.6, "good", resampling=None))
    fewer = dataclasses.replace(good, clients=good.clients[:2])
    with pytest.raises(DataError, match="other clients, 3 and 2"):
        compare(bad, fewer)


def test_bad_embeddings_and_clients_are_named() -> None:
    clients, labels = layout()
    table = faces_of(0.5)
    table[9] = np.nan
    table[11] = 0
    names = [f"P/{row}" for row in range(len(labels))]
    from fedfr_edge.evaluation.embedding import OneSpace
    from fedfr_edge.evaluation.personalised import evaluate_models

    models = dict.fromkeys(clients, OneSpace(LookupEncoder(table, "net")))
    faces = numbered_faces(len(labels))
    with pytest.raises(ModelError, match=r"length nan for P/9 and for 1 of the next"):
        evaluate_models(models, faces, labels, clients, image_name=lambda row: names[row])
    empty = {**clients, "client-01": ClientRows(clients["client-01"].gallery, np.zeros(0, np.int64))}
    with pytest.raises(DataError, match="client-01 of 3 clients have no test images"):
        evaluate_models(models, faces, labels, empty)
    good = faces_of(0.5)
    own = labels < PEOPLE
    mixed = ClientEmbeddings(good[own], labels[own], good[own], labels[own], good[~own, :8], labels[~own])
    with pytest.raises(DataError, match="lengths 8, 16"):
        evaluate_client("client-00", mixed)
    nobody = ClientEmbeddings(good[own], labels[own], good[:0], labels[:0], good[~own], labels[~own])
    with pytest.raises(DataError, match="has no test images"):
        evaluate_client("client-00", nobody)


def test_one_person_has_no_interval_by_people() -> None:
    good, (_, labels) = faces_of(0.5), layout()
    own = labels == 0
    alone = ClientEmbeddings(good[own], labels[own], good[own], labels[own], good[~own], labels[~own])
    from fedfr_edge.evaluation.bootstrap import People

    drawn = People(np.ones((20, 1)), Resampling(20, 0).weights("others", 3 * PEOPLE - 1))
    (result,) = evaluate_client("c", alone, fars=(0.1,), fpirs=(0.1,), drawn=drawn)
    assert result.verification[0].interval is None
