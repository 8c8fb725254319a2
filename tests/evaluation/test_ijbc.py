"""IJB-C: pooling, 1:1 and 1:N against slow loops in float64, on small sets in the official layout."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from ijbc_set import IjbcSet, SlowSearch, make_set, slow_tar, slow_templates, write_set
from lookup_encoder import LookupEncoder, numbered_faces, unit

from fedfr_edge.errors import DataError, ModelError
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.ijbc import pair_list, protocol
from fedfr_edge.evaluation.ijbc.compare import compare_models
from fedfr_edge.evaluation.ijbc.metadata import UNKNOWN, Metadata, read_metadata
from fedfr_edge.evaluation.ijbc.protocol import evaluate_ijbc, mate_ranks, pair_scores
from fedfr_edge.evaluation.ijbc.result import RANKS, IjbcResult
from fedfr_edge.evaluation.ijbc.tables import detail_table, identification_table, verification_table
from fedfr_edge.evaluation.ijbc.templates import pool_templates
from fedfr_edge.evaluation.mirror import Mirrored

DIM = 24
FARS = (0.3, 0.1, 0.02, 0.01)
FPIRS = (0.5, 0.2, 0.1, 0.05)


def embeddings_of(made: IjbcSet, seed: int, noise: float = 2.2) -> dict[str, np.ndarray]:
    """One unit embedding per face, near its subject's, with much noise."""
    rng = np.random.default_rng(seed)
    centre = {subject: rng.standard_normal(DIM) for subject in sorted(set(made.subject_of.values()))}
    template_of = {name: template for name, template, _ in made.rows}
    return {
        name: unit((centre[made.subject_of[template_of[name]]] + noise * rng.standard_normal(DIM))[None])[0]
        for name in made.names
    }


def evaluate(
    made: IjbcSet,
    faces: dict[str, np.ndarray],
    *,
    weigh: bool = False,
    resampling: Resampling | None = None,
) -> tuple[Metadata, IjbcResult]:
    """The library's result, with the embeddings in a shuffled array as a store would have them."""
    metadata = read_metadata(made.root)
    order = np.random.default_rng(1).permutation(list(faces)).tolist()
    table = np.stack([faces[name] for name in order])
    rows = np.array([order.index(name) if name in faces else -1 for name in metadata.faces.names])
    templates, there = pool_templates(table, rows, metadata, weigh_by_score=weigh)
    return metadata, evaluate_ijbc(
        "model", templates, there, metadata, fars=FARS, fpirs=FPIRS, resampling=resampling
    )


def check(made: IjbcSet, faces: dict[str, np.ndarray], result: IjbcResult, *, weigh: bool) -> None:
    """Every figure against the loops."""
    slow = slow_templates(made, faces, weigh)
    scored = [(one, two, label) for one, two, label in made.pairs if one in slow and two in slow]
    mated = [float(slow[one] @ slow[two]) for one, two, label in scored if label]
    non_mated = [float(slow[one] @ slow[two]) for one, two, label in scored if not label]
    verification = result.verification
    assert verification is not None
    assert verification.left_out == len(made.pairs) - len(scored)
    assert verification.contradictions == 0
    for far, rate in zip(FARS, verification.rates, strict=True):
        assert (rate.trials, rate.non_mated) == (len(mated), len(non_mated))
        assert rate.value == pytest.approx(slow_tar(mated, non_mated, far), abs=1e-12)
        assert rate.false_accepts / rate.non_mated <= far
    standard, reference = result.identification
    searches = [SlowSearch(made, slow, made.galleries[name]) for name in ("G1", "G2")]
    for search, found in zip(searches, standard.galleries, strict=True):
        assert (len(found.mated_subjects), len(found.non_mated_subjects), found.left_out) == (
            len(search.mates),
            len(search.strangers),
            search.left_out,
        )
        for fpir, rate in zip(FPIRS, found.rates, strict=True):
            assert rate.value == pytest.approx(search.standard(fpir), abs=1e-12)
        for rank, value in zip(RANKS, found.retrieval, strict=True):
            assert value == pytest.approx(search.retrieval(rank), abs=1e-12)
    for place, fpir in enumerate(FPIRS):
        assert standard.rates[place].value == pytest.approx(np.mean([one.standard(fpir) for one in searches]))
    joined = SlowSearch(made, slow, [*made.galleries["G1"], *made.galleries["G2"]])
    (found,) = reference.galleries
    assert found.gallery == "G1+G2"
    for fpir, rate in zip(FPIRS, found.rates, strict=True):
        assert rate.value == pytest.approx(joined.reference(fpir), abs=1e-12)
    for rank, value in zip(RANKS, found.retrieval, strict=True):
        assert value == pytest.approx(joined.retrieval(rank), abs=1e-12)


@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_figure_agrees_with_slow_loops(tmp_path: Path, seed: int, weigh: bool) -> None:
    made = make_set(tmp_path, seed)
    faces = embeddings_of(made, seed)
    _, result = evaluate(made, faces, weigh=weigh)
    check(made, faces, result, weigh=weigh)
    rates = [rate.value for rate in result.verification.rates]  # type: ignore[union-attr]
    assert 0 < min(rates) < max(rates) < 1  # the set is neither trivial nor hopeless


def weighted_tar(
    mated: list[tuple[float, float]],
    non_mated: list[tuple[float, float]],
    far: float,
    total: float | None = None,
) -> float:
    """The best weighted share of mated (score, weight) over all thresholds that keep the weighted FAR."""
    best, accepting = 0.0, sorted({score for score, _ in non_mated} | {score for score, _ in mated})
    total = total or sum(weight for _, weight in non_mated)
    for threshold in accepting:
        if sum(weight for score, weight in non_mated if score >= threshold) / total <= far + 1e-12:
            hits = sum(weight for score, weight in mated if score >= threshold)
            best = max(best, hits / sum(weight for _, weight in mated))
    return best


def test_replicates_draw_subjects(tmp_path: Path) -> None:
    """Each replicate's rates against loops over weighted trials; intervals hold the rates."""
    made = make_set(tmp_path, 1)
    resampling = Resampling(replicates=6, seed=3)
    faces = embeddings_of(made, 1)
    metadata, result = evaluate(made, faces, resampling=resampling)
    numbers = sorted(set(made.subject_of.values()))
    weights = resampling.weights("ijbc", len(numbers))
    subject = metadata.subjects
    verification = result.verification
    assert verification is not None
    assert verification.replicates is not None
    standard, reference = result.identification
    for r, drawn in enumerate(weights):
        weight = dict(zip(numbers, drawn.tolist(), strict=True))
        mated, non_mated = [], []
        pairs = verification.pairs
        for score, a, b, same in zip(
            verification.scores.tolist(),
            subject[pairs.first].tolist(),
            subject[pairs.second].tolist(),
            pairs.mated,
            strict=True,
        ):
            if same:
                mated.append((score, weight[a]))
            else:
                non_mated.append((score, weight[a] * weight[b]))
        for place, far in enumerate(FARS):
            assert verification.replicates[r, place] == pytest.approx(weighted_tar(mated, non_mated, far))
        for gallery in standard.galleries:
            assert gallery.replicates is not None
            assert gallery.retrieval_replicates is not None
            found = gallery.searches
            probes = [weight[one] for one in gallery.mated_subjects.tolist()]
            scores = np.where(found.rank_one, found.mate, -np.inf).tolist()
            strangers = [
                (score, weight[one] * weight[int(gallery.enrolled[person])])
                for score, one, person in zip(
                    found.best.tolist(), gallery.non_mated_subjects.tolist(), found.best_person, strict=True
                )
            ]
            total = sum(weight[one] for one in gallery.non_mated_subjects.tolist())
            for place, fpir in enumerate(FPIRS):
                expected = weighted_tar(list(zip(scores, probes, strict=True)), strangers, fpir, total)
                assert gallery.replicates[r, place] == pytest.approx(expected)
            for place, rank in enumerate(RANKS):
                hits = sum(w for w, of in zip(probes, gallery.ranks.tolist(), strict=True) if of <= rank)
                assert gallery.retrieval_replicates[r, place] == pytest.approx(hits / sum(probes))
    slow = slow_templates(made, faces, weigh=False)
    enrolled = [*made.galleries["G1"], *made.galleries["G2"]]
    for r, drawn in enumerate(weights):
        weight = dict(zip(numbers, drawn.tolist(), strict=True))
        of = {template: weight[number] for template, number in made.subject_of.items()}
        mates, others = [], []
        for probe in made.probes:
            for template in enrolled:
                score = float(slow[probe] @ slow[template])
                if made.subject_of[probe] == made.subject_of[template]:
                    mates.append((score, of[probe]))
                else:
                    others.append((score, of[probe] * of[template]))
        total = sum(of[probe] for probe in made.probes)
        (gallery,) = reference.galleries
        assert gallery.replicates is not None
        for place, fpir in enumerate(FPIRS):
            expected = weighted_tar(mates, others, math.ceil(total * fpir) - 1, 1.0)
            assert gallery.replicates[r, place] == pytest.approx(expected)
    rates = [*verification.rates, *standard.rates, *standard.retrieval, *reference.rates]
    for rate in rates:
        assert rate.interval is not None
        assert rate.interval.low <= rate.value <= rate.interval.high
    assert any(rate.interval.low < rate.value for rate in rates if rate.interval is not None)
    table = verification_table([result])
    assert table is not None
    assert "subjects drawn anew 6 times" in " ".join(table.notes)
    assert table.header[:3] == ("model", "TAR@FAR 3e-1", "95 %")
    assert "…" in table.rows[0][2]


def test_two_models_are_compared_on_the_same_draws(tmp_path: Path) -> None:
    made = make_set(tmp_path, 1)
    good, bad = (
        evaluate(made, embeddings_of(made, 1, noise=noise), resampling=Resampling(40))[1]
        for noise in (1.0, 3.0)
    )
    standard, reference = compare_models([bad, good])
    measures = {one.measure: one for one in standard.differences}
    assert (standard.reading, reference.reading) == ("standard", "reference")
    assert len(measures) == len(FARS) + len(FPIRS) + len(RANKS)
    assert len(reference.differences) == len(FPIRS) + len(RANKS)
    one = measures["TAR@FAR 1e-1"]
    assert bad.verification is not None
    assert good.verification is not None
    assert one.value == pytest.approx(good.verification.rates[1].value - bad.verification.rates[1].value)
    assert good.verification.replicates is not None
    assert bad.verification.replicates is not None
    gaps = good.verification.replicates[:, 1] - bad.verification.replicates[:, 1]
    assert one.interval is not None
    assert (one.interval.low, one.interval.high) == pytest.approx(np.quantile(gaps, [0.025, 0.975]))
    assert one.verdict == "higher"
    assert measures["rank 1"].verdict == "higher"
    same = compare_models([good, good])
    assert {one.verdict for found in same for one in found.differences} == {"no difference shown"}
    assert compare_models([evaluate(made, embeddings_of(made, 1))[1]] * 2) == []


def test_no_intervals_without_subjects(tmp_path: Path) -> None:
    made = make_set(tmp_path, 0)
    for file in (made.root / "meta").glob("*.csv"):
        file.unlink()
    metadata = read_metadata(made.root, identification=False)
    faces = embeddings_of(made, 0)
    table = np.stack([faces[name] for name in metadata.faces.names])
    templates, there = pool_templates(table, np.arange(len(table)), metadata, weigh_by_score=True)
    result = evaluate_ijbc("model", templates, there, metadata, resampling=Resampling(5))
    assert result.verification is not None
    assert all(rate.interval is None for rate in result.verification.rates)


def test_a_template_that_no_list_names_does_no_harm(tmp_path: Path) -> None:
    made = make_set(tmp_path, 0)
    faces = embeddings_of(made, 0)
    made.rows.append(("more.jpg", 9999, 1))
    made.landmarks["more.jpg"], made.scores["more.jpg"] = np.zeros((5, 2)), 1.0
    faces["more.jpg"] = np.eye(DIM, dtype=np.float32)[0]
    write_set(made)
    metadata, result = evaluate(made, faces, resampling=Resampling(5))
    assert UNKNOWN in metadata.subjects
    assert result.verification is not None
    assert all(rate.interval is not None for rate in result.verification.rates)


def test_the_readings_differ(tmp_path: Path) -> None:
    """On a set where the joined gallery is easier at the same nominal FPIR, so that a mix-up shows."""
    made = make_set(tmp_path, 4)
    _, result = evaluate(made, embeddings_of(made, 4))
    standard, reference = result.identification
    assert [one.value for one in standard.rates] != [one.value for one in reference.rates]
    assert all(len(gallery.non_mated_subjects) for gallery in standard.galleries)
    assert not len(reference.galleries[0].non_mated_subjects)


def test_missing_faces_are_left_out_and_counted(tmp_path: Path) -> None:
    made = make_set(tmp_path, 5)
    faces = embeddings_of(made, 5)
    lost = {made.galleries["G1"][0], made.probes[0], made.probes[7]}
    for name, template, _ in made.rows:
        if template in lost:
            del faces[name]
    first = next(name for name, template, _ in made.rows if template == made.probes[1])
    faces.pop(first)  # one face of a template that has others, or its only one
    _, result = evaluate(made, faces)
    check(made, faces, result, weigh=False)
    assert result.verification is not None
    assert result.verification.left_out > 0
    assert result.identification[0].galleries[0].left_out > 2
    table = verification_table([result])
    assert table is not None
    assert "not comparable" in " ".join(table.notes)
    assert "left out" in " ".join(identification_table([result], 0).notes)


def test_a_long_video_counts_as_one_medium(tmp_path: Path) -> None:
    made = make_set(tmp_path, 6)
    template = made.probes[0]
    made.rows = [row for row in made.rows if row[1] != template]
    for number in range(50):
        made.rows.append((f"v{number}.jpg", template, 9))
    made.rows.append(("still.jpg", template, 10))
    for name in [*(f"v{number}.jpg" for number in range(50)), "still.jpg"]:
        made.landmarks[name], made.scores[name] = np.zeros((5, 2)), 1.0
    write_set(made)
    metadata = read_metadata(made.root)
    table = np.tile(np.eye(2, dtype=np.float32)[0], (len(metadata.faces.names), 1))
    table[metadata.faces.names.index("still.jpg")] = [0, 1]
    templates, _ = pool_templates(table, np.arange(len(table)), metadata, weigh_by_score=False)
    place = int(np.searchsorted(metadata.template_ids, template))
    assert templates[place] == pytest.approx([np.sqrt(0.5), np.sqrt(0.5)], abs=1e-6)


def test_subjects_are_known_for_intervals_by_subject(tmp_path: Path) -> None:
    made = make_set(tmp_path, 0)
    metadata = read_metadata(made.root)
    for template, subject in zip(metadata.template_ids.tolist(), metadata.subjects.tolist(), strict=True):
        assert made.subject_of[template] == subject
    for file in (made.root / "meta").glob("*.csv"):
        file.unlink()
    alone = read_metadata(made.root, identification=False)
    assert set(alone.subjects.tolist()) == {UNKNOWN}
    assert alone.pairs is not None
    assert alone.probes is None
    with pytest.raises(DataError, match=r"cannot read .*ijbc_1N_gallery_G1\.csv: No such file"):
        read_metadata(made.root)


def test_labels_that_contradict_the_subjects_are_counted(tmp_path: Path) -> None:
    made = make_set(tmp_path, 0)
    faces = embeddings_of(made, 0)
    path = made.root / "meta/ijbc_template_pair_label.txt"
    one, two, label = made.pairs[0]
    rest = path.read_text().split("\n", 1)[1]
    path.write_text(f"{one} {two} {1 - label}\n{rest}")
    _, result = evaluate(made, faces)
    assert result.verification is not None
    assert result.verification.contradictions == 1
    table = verification_table([result])
    assert table is not None
    assert "1 pairs have a label that contradicts" in " ".join(table.notes)


@pytest.mark.parametrize("worth", [0, 10**9])
def test_pair_scores_by_product_or_one_by_one(monkeypatch: pytest.MonkeyPatch, worth: int) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(protocol, "WORTH", worth)
    monkeypatch.setattr(protocol, "FIRSTS_AT_ONCE", 3)
    monkeypatch.setattr(protocol, "PAIRS_AT_ONCE", 7)
    templates = unit(rng.standard_normal((40, 8)))
    first, second = rng.integers(0, 40, (2, 500)).astype(np.int32)
    seen: list[tuple[int, int]] = []
    pairs = pair_list.PairList(first, second, np.ones(500, dtype=bool))
    scores = pair_scores(templates, pairs, lambda _, done, total: seen.append((done, total)))
    expected = [
        float(templates[a].astype(np.float64) @ templates[b]) for a, b in zip(first, second, strict=True)
    ]
    assert scores == pytest.approx(expected, abs=1e-6)
    assert seen[-1] == (500, 500)
    assert sum(done == total for done, total in seen) == 1


def test_a_tie_counts_against_the_mate() -> None:
    gallery = np.eye(3, dtype=np.float32)
    probes = np.array([[0.6, 0.6, 0.5], [0.1, 0.2, 0.9]], dtype=np.float32)
    assert mate_ranks(gallery, np.array([0, 0]), probes).tolist() == [2, 3]


def test_blocks_of_the_pair_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank lines, tabs, Windows ends, no end at the last line; blocks of a few bytes."""
    ids = np.arange(1, 400, dtype=np.int64)
    rng = np.random.default_rng(0)
    rows = [(int(a), int(a) + int(b), int(c)) for a, b, c in rng.integers(1, 190, (50, 3)) % [200, 200, 2]]
    lines = [f"{a}{'  ' if a % 2 else chr(9)}{b} {c}{'' if b % 3 else chr(13)}" for a, b, c in rows]
    lines[25:25] = ["", " "]
    path = tmp_path / "pairs.txt"
    path.write_bytes("\n".join(["1 2 1", "3 4 0", *lines]).encode())
    whole = pair_list.read_pair_list(path, ids)
    for size in (8, 13, 64):
        monkeypatch.setattr(pair_list, "BLOCK", size)
        again = pair_list.read_pair_list(path, ids)
        assert np.array_equal(whole.first, again.first)
        assert np.array_equal(whole.second, again.second)
        assert np.array_equal(whole.mated, again.mated)
    expected = [tuple(map(int, line.split())) for line in path.read_text().splitlines() if line.split()]
    found = zip(
        ids[whole.first].tolist(), ids[whole.second].tolist(), whole.mated.astype(int).tolist(), strict=True
    )
    assert list(found) == expected


def test_flipping_adds_the_mirror_images_embedding() -> None:
    rng = np.random.default_rng(0)
    table = unit(rng.standard_normal((6, 4)))
    faces = numbered_faces(3)
    for row in range(3):  # the mirror image shows another number in its first pixel
        faces[row, 0, -1, 1] = row + 3
    inner = LookupEncoder(table)
    found = Mirrored(inner).embed(faces)
    assert found == pytest.approx(unit(table[:3].astype(np.float64) + table[3:]), abs=1e-6)
    assert found.dtype == np.float32
    assert (Mirrored(inner).name, Mirrored(inner).dim) == ("lookup", 4)
    with pytest.raises(ModelError, match="opposite or invalid"):
        Mirrored(LookupEncoder(np.concatenate([table[:3], -table[:3]]))).embed(faces)


def test_templates_that_cancel_out_are_named(tmp_path: Path) -> None:
    made = make_set(tmp_path, 0)
    metadata = read_metadata(made.root)
    faces = embeddings_of(made, 0)
    table = np.stack([faces[name] for name in metadata.faces.names])
    template = made.probes[3]
    place = metadata.template_ids.tolist().index(template)
    scores = metadata.faces.scores
    scores[metadata.media.face[metadata.media.template == place]] = 0
    with pytest.raises(
        ModelError, match=rf"of 1 templates add up to nothing, the first is template {template};"
    ):
        pool_templates(table, np.arange(len(table)), metadata, weigh_by_score=True)
    table[4] = np.nan
    with pytest.raises(ModelError, match=r"embedding of '5\.jpg' is not finite"):
        pool_templates(table, np.arange(len(table)), metadata, weigh_by_score=False)
    with pytest.raises(DataError, match="no face of the set"):
        pool_templates(table, np.full(len(table), -1), metadata, weigh_by_score=False)


def test_tables_mark_what_the_trials_cannot_carry(tmp_path: Path) -> None:
    made = make_set(tmp_path, 0)
    _, result = evaluate(made, embeddings_of(made, 0))
    table = verification_table([result])
    assert table is not None
    assert "†" in "".join(table.rows[0])
    shown = identification_table([result], 0).to_markdown()
    assert "standard reading" in shown
    assert "open set" in shown
    assert "closed set" in identification_table([result], 1).to_markdown()
    detail = detail_table(result)
    assert len(detail.rows) == len(FARS) + 3 * len(FPIRS)
    record = result.to_dict()
    assert record["identification"][0]["galleries"][0]["gallery"] == "G1"
    assert result.to_arrays()["tar"].shape == result.to_arrays()["fmr"].shape


def spoil(made: IjbcSet, file: str, line: int, text: str | None) -> Path:
    """Replace a line (1 is the first) of a metadata file."""
    path = made.root / "meta" / file
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n")
    return path


POINTS = " ".join(["30"] * 9)


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        ("ijbc_name_5pts_score.txt", 4, f"4.jpg nan {POINTS} 0.9", r"line 4 .* no finite x1 for '4\.jpg'"),
        ("ijbc_name_5pts_score.txt", 4, f"4.jpg {POINTS} inf 0.9", r"line 4 .* no finite y5 for '4\.jpg'"),
        ("ijbc_name_5pts_score.txt", 4, f"4.jpg {POINTS} 3 none", r"line 4 .* no finite score for '4\.jpg'"),
        ("ijbc_name_5pts_score.txt", 2, f"2.jpg {POINTS} 0.9", r"line 2 .* 11 columns, expected 12: name"),
        ("ijbc_name_5pts_score.txt", 2, f"1.jpg {POINTS} 3 0.9", r"line 2 .* '1\.jpg' again, after line 1"),
        ("ijbc_face_tid_mid.txt", 3, "no.jpg 3 4", r"line 3 .* names 'no\.jpg', expected a face of meta/"),
        ("ijbc_face_tid_mid.txt", 3, "1.jpg 3", r"line 3 .* has 2 columns, expected 3: name template media"),
        ("ijbc_face_tid_mid.txt", 3, "1.jpg x 4", r"line 3 .* has template 'x', expected a whole number"),
        ("ijbc_template_pair_label.txt", 6, "99999 3 0", r"line 6 .* names template 99999, which no face"),
        ("ijbc_template_pair_label.txt", 6, "3 4", r"line 6 .* has 2 columns, expected 3"),
        ("ijbc_template_pair_label.txt", 6, "3 4 0 1", r"line 6 .* has 4 columns, expected 3"),
        ("ijbc_template_pair_label.txt", 6, "3 -4 0", r"line 6 .* has template '-4'"),
        ("ijbc_template_pair_label.txt", 6, "3 4 0.5", r"line 6 .* has label '0\.5'"),
        ("ijbc_1N_probe_mixed.csv", 1, "a,b,c,d,e", r"line 1 .* has no column TEMPLATE_ID"),
        ("ijbc_1N_probe_mixed.csv", 5, "1,2", r"line 5 .* has 2 columns, expected 5, as in the header"),
        ("ijbc_1N_probe_mixed.csv", 5, "99999,2,f,1,1", r"line 5 .* names template 99999, which has no face"),
        ("ijbc_1N_gallery_G1.csv", 2, "y,2,f,1,1", r"line 2 .* has template 'y'"),
    ],
)  # fmt: skip
def test_bad_lines_are_named(tmp_path: Path, file: str, line: int, text: str, message: str) -> None:
    made = make_set(tmp_path, 0)
    path = spoil(made, file, line, text)
    with pytest.raises(DataError, match=message) as caught:
        read_metadata(made.root)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_that_do_not_belong_together(tmp_path: Path) -> None:
    made = make_set(tmp_path, 0)
    one, two = made.galleries["G1"][:2]
    probe = made.probes[0]
    subject, other = made.subject_of[one], made.subject_of[two]
    meta = made.root / "meta"
    kept = {path: path.read_text() for path in meta.iterdir()}

    def fails(file: str, extra: str, message: str) -> None:
        (meta / file).write_text(kept[meta / file] + extra)
        with pytest.raises(DataError, match=message):
            read_metadata(made.root)
        (meta / file).write_text(kept[meta / file])

    fails("ijbc_1N_probe_mixed.csv", f"{probe},1,f,1,1\n", f"gives template {probe} subject 1, expected")
    fails("ijbc_1N_gallery_G1.csv", f"{probe},{subject},f,1,1\n", f"gives subject {subject} template {probe}")
    fails("ijbc_1N_probe_mixed.csv", f"{one},{subject},f,1,1\n", "enrolled in a gallery too")
    fails("ijbc_template_pair_label.txt", f"{one} {one} 1\n", f"compares template {one} with itself")
    fails("ijbc_template_pair_label.txt", f"{one} {two} 2\n", "has label 2, expected 1 or 0")
    name, template, media = made.rows[0]
    fails(
        "ijbc_face_tid_mid.txt",
        f"{name} {template} {media}\n",
        f"puts '{name}' into template {template} again",
    )
    (meta / "ijbc_1N_gallery_G2.csv").write_text(kept[meta / "ijbc_1N_gallery_G1.csv"])
    with pytest.raises(DataError, match="6 subjects are in both galleries"):
        read_metadata(made.root)
    header = kept[meta / "ijbc_1N_gallery_G1.csv"].splitlines()[0]
    (meta / "ijbc_1N_gallery_G2.csv").write_text(f"{header}\n{probe},{other + 900},f,1,1\n")
    with pytest.raises(DataError, match=r"gives template \d+ subject \d+, expected"):
        read_metadata(made.root)


def test_probes_of_other_people_only(tmp_path: Path) -> None:
    made = make_set(tmp_path, 0)
    for template in made.probes:
        made.subject_of[template] += 500
    write_set(made)
    with pytest.raises(DataError, match="these lists are of different sets"):
        read_metadata(made.root)


@pytest.mark.parametrize(
    "file", ["ijbc_face_tid_mid.txt", "ijbc_template_pair_label.txt", "ijbc_1N_probe_mixed.csv"]
)
def test_files_that_are_empty_absent_or_no_text(tmp_path: Path, file: str) -> None:
    made = make_set(tmp_path, 0)
    path = made.root / "meta" / file
    text = path.read_text()
    path.write_text("\n")
    with pytest.raises(DataError, match=f"{file} is empty"):
        read_metadata(made.root)
    path.write_bytes(b"\xff\xfe" + text.encode())
    with pytest.raises(DataError, match=file):
        read_metadata(made.root)
    path.unlink()
    with pytest.raises(DataError, match=f"cannot read .*{file}"):
        read_metadata(made.root)
    path.write_text(text.splitlines()[0] + "\n")
    with pytest.raises(DataError):
        read_metadata(made.root)


def test_pairs_of_one_kind_only(tmp_path: Path) -> None:
    made = make_set(tmp_path, 0)
    made.pairs = [pair for pair in made.pairs if pair[2]]
    write_set(made)
    with pytest.raises(DataError, match=r"all \d+ pairs of .* are mated"):
        read_metadata(made.root)
