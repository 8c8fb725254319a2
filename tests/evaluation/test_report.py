"""The report: self-contained, sound HTML and SVG, showing what it was given."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from lookup_encoder import LookupEncoder, numbered_faces, unit

from fedfr_edge.errors import MissingPartError
from fedfr_edge.evaluation.bootstrap import Resampling
from fedfr_edge.evaluation.metrics import Rate
from fedfr_edge.evaluation.outcome import PersonalisedResult, headline
from fedfr_edge.evaluation.pairs import Pair, evaluate_pairs
from fedfr_edge.evaluation.personalised import ClientRows, evaluate_personalised
from fedfr_edge.evaluation.report import (
    Contrast,
    Decision,
    FacePair,
    Faces,
    GroupedTable,
    ReportData,
    Sweep,
    SweepLine,
    write_numbers,
    write_report,
)
from fedfr_edge.evaluation.report.canvas import COLOURS, shown_name
from fedfr_edge.evaluation.report.clients import JOINED_UP_TO
from fedfr_edge.evaluation.report.curves import roc_figure
from fedfr_edge.evaluation.report.losses import losses_figure
from fedfr_edge.evaluation.tables import Table

NASTY = '<script>alert("1")</script> & $x$'


def results(clients: int = 3) -> list[PersonalisedResult]:
    """Three models of rising quality in both readings."""
    people, train, test = 3, 2, 6
    labels = np.repeat(np.arange(clients * people), train + test)
    rows = np.arange(len(labels)).reshape(clients, people, -1)
    parts = {
        f"client-{c:02d}": ClientRows(rows[c, :, :train].ravel(), rows[c, :, train:].ravel())
        for c in range(clients)
    }
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(clients * people, 16))
    found = []
    for reading in ("standard", "paper"):
        for name, noise in (("Θ_g", 1.2), ("Θ_l", 0.9), ("[Θ_l, Π_l]", 0.5)):
            table = unit(centres[labels] + noise * generator.normal(size=(len(labels), 16)))
            found.append(
                evaluate_personalised(
                    dict.fromkeys(parts, LookupEncoder(table, name)),
                    numbered_faces(len(labels)),
                    labels,
                    parts,
                    reading=reading,
                    fars=(0.1, 0.01),
                    fpirs=(0.5, 0.1),
                    resampling=Resampling(20),
                )
            )
    return found


def decisions() -> list[Decision]:
    face = np.full((112, 112, 3), 120, np.uint8)
    photo = np.random.default_rng(1).integers(0, 256, (300, 500, 3), np.uint8)
    return [
        Decision(face, "Ann", 0.8, 0.4, True, True),
        Decision(photo, NASTY, 0.45, 0.4, True, False, "a stranger"),
        Decision(face, "Bob", None, 0.4, False, True, "no_face"),
        Decision(face, "Eve", -0.5, 0.4, False, False),
    ]


ROUNDS = [
    {
        "round": number,
        "clients": {
            f"client-{c:02d}": {"loss": 9.0 / number + c, "loss_cos": 3.0 / number, "loss_bce": 0.1}
            for c in range(3)
        },
    }
    for number in range(1, 4)
]


FACE = np.full((112, 112, 3), 120, np.uint8)
DIFFERENCES = [
    Contrast("Θ_g", "[Θ_l, Π_l]", "TAR@FAR 1e-1", 0.05, (0.01, 0.09), "20 draws"),
    Contrast("Θ_g", "Θ_l", "TAR@FAR 1e-1", -0.05, (-0.09, -0.01), "20 draws"),
    Contrast("Θ_g", NASTY, "rank 1", 0.05, (-0.01, 0.11), "20 draws"),
    Contrast("Θ_g", "x", "rank 1", 0.05, (-math.inf, math.inf), "nothing"),
]
SWEEP = Sweep(
    "sweep",
    "t_HN",
    [("generic", [SweepLine("fedfr", ((0.3, 0.1, 0.05, 0.2), (0.5, 0.2, math.nan, math.nan)))])],
    "Over t_HN.",
)


@pytest.fixture(scope="module")
def data() -> ReportData:
    table = unit(np.random.default_rng(2).normal(size=(20, 8)))
    pairs = [Pair(str(i), str(i + 1), bool(i % 2), i // 10) for i in range(19)]
    return ReportData(
        title="A run " + NASTY,
        intro="Three clients.",
        facts=[("seed", "7"), ("who", NASTY)],
        results=results(),
        pairs=[evaluate_pairs(LookupEncoder(table, "lfw model"), numbered_faces(20), int, pairs)],
        rounds=ROUNDS,
        decisions=decisions(),
        differences=DIFFERENCES,
        paper=[
            GroupedTable(
                Table("As in Table 1", ("method", "a", "b"), (("x", "1.00 [0.5, 2.0]", "–"),)), (("1:1", 2),)
            )
        ],
        sweeps=[SWEEP],
        faces=Faces(
            [
                FacePair(FACE, FACE, ("a/1", NASTY), False, 0.8, 0.5, "Θ_g", "client-00"),
                FacePair(FACE, FACE, ("b/1", "b/2"), True, -0.1, 0.5, "Θ_g", "client-00"),
            ],
            "own, " + NASTY,
            private=True,
        ),
        left_out=["3 of 9 things."],
        files=[("generic model", "out/generic.onnx")],
        notes=["Faces are synthetic."],
    )


@pytest.fixture(scope="module")
def page(data: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report"), data)


class Checker(HTMLParser):
    """Collects ids, targets and unbalanced tags."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.stack.append(tag)
        self._attributes(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def _attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.fetched.append(value or "")


def parsed(page: Path) -> Checker:
    checker = Checker()
    checker.feed(page.read_text())
    checker.close()
    return checker


def test_the_page_is_sound_and_fetches_nothing(page: Path) -> None:
    text, checker = page.read_text(), parsed(page)
    assert checker.faults == []
    assert checker.stack == []
    assert len(checker.ids) == len(set(checker.ids)) > 20
    for target in checker.fetched:
        assert target.startswith(("data:image/", "#")), target
    inside = {target[1:] for target in checker.fetched if target.startswith("#")}
    inside |= set(re.findall(r"url\(#([^)]*)\)", text))
    assert inside <= set(checker.ids)  # every reference of a figure points into that figure
    assert re.search(r"<script|<link|@import|url\((?!#)", text) is None
    assert "default-src 'none'" in text


def test_the_page_shows_what_it_was_given(page: Path, data: ReportData) -> None:
    words = "".join(parsed(page).text)
    assert NASTY in words  # as text: the checker saw no script element
    for heading in (
        "Personalised protocol",
        "By client",
        "Scores",
        "Example decisions",
        "Training",
        "Pairs lists",
        "As the paper reads it",
        "Files",
    ):
        assert heading in words
    place = headline(data.shown())
    for result in data.shown():
        mean = result.verification[place]
        assert f"{100 * mean.value:.2f} %" in words
        assert f"worst {100 * mean.worst:.2f}\u00a0% ({mean.worst_client})" in words
        assert mean.interval is not None  # the data have them, so the page must
        assert f"95 % interval {100 * mean.interval.low:.1f} to {100 * mean.interval.high:.1f}" in words
    assert "45 mated and 756 non-mated pairs" in words  # 3 · C(6,2); 18 · 36 + 3 · 36
    assert "45 mated and 648 non-mated pairs" in words
    assert "1 of 2 genuine attempts let in, 1 of 2 strangers kept out" in words
    assert "kept out, wrongly" in words
    assert "score −0.100" in words
    assert "Terms of use of these faces: own, " + NASTY in words
    assert "pass this page on only to those who may see them" in words
    assert [words.count(text) for text in ("3 of 9 things.", "[−9.00, −1.00]", "[+1.00, +9.00]")] == [1, 1, 1]
    assert "lfw model" in words
    assert page.read_text().count('<img src="data:image/jpeg') == 4 + 4


def test_figures_are_sound_files(page: Path) -> None:
    from PIL import Image

    names = {path.stem for path in (page.parent / "figures").iterdir()}
    assert names == {"roc", "det", "search", "clients", "scores", "losses", "decisions"} | {
        "differences",
        "sweep",
    }
    for name in names:
        svg = ElementTree.parse(page.parent / "figures" / f"{name}.svg").getroot()
        assert svg.tag.endswith("svg")
        with Image.open(page.parent / "figures" / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5  # not an empty sheet


def test_figures_on_the_page_follow_the_readers_scheme(page: Path) -> None:
    text = page.read_text()
    figures = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(figures) == 8
    for light, _ in COLOURS.values():
        assert all(light not in figure.lower() for figure in figures)
    assert all("var(--ink)" in figure and "aria-label" in figure for figure in figures)
    assert "prefers-color-scheme:dark" in text


def test_same_data_same_bytes_and_no_global_state(data: ReportData, page: Path, tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    again = write_report(tmp_path, data)
    assert dict(matplotlib.rcParams) == before
    assert again.read_bytes() == page.read_bytes()
    for figure in (page.parent / "figures").iterdir():
        assert (tmp_path / "figures" / figure.name).read_bytes() == figure.read_bytes()


def test_every_piece_is_optional(tmp_path: Path) -> None:
    bare = write_report(tmp_path / "bare", ReportData(title="Nothing yet"))
    assert "Nothing yet" in "".join(parsed(bare).text)
    assert not (tmp_path / "bare" / "figures").exists()
    for name in ("decisions", "rounds"):
        value = {"decisions": decisions(), "rounds": ROUNDS}[name]
        one = write_report(tmp_path / name, ReportData(title="One", **{name: value}))
        assert parsed(one).faults == []
    paper = write_report(tmp_path / "paper", ReportData(title="One", results=results()[3:4]))
    assert parsed(paper).faults == []
    assert "As the paper reads it" not in paper.read_text()  # shown first, as there is no other


@pytest.mark.parametrize("clients", [2, 5, JOINED_UP_TO + 1])
def test_few_clients_are_joined_many_boxed(clients: int, tmp_path: Path) -> None:
    page = write_report(tmp_path, ReportData(title="Clients", results=results(clients)[:3]))
    assert parsed(page).faults == []
    assert f"mean over {clients} clients" in page.read_text()


def test_a_client_without_mated_pairs_is_drawn_as_a_gap(tmp_path: Path) -> None:
    result = results()[0]
    lone = dataclasses.replace(
        result.clients[0],
        verification=tuple(
            Rate(float("nan"), 0, rate.threshold, rate.far_target, rate.false_accepts, rate.non_mated)
            for rate in result.clients[0].verification
        ),
        tar_curve=np.full_like(result.clients[0].tar_curve, np.nan),
        mated_histogram=np.zeros_like(result.clients[0].mated_histogram),
    )
    gap = dataclasses.replace(result, clients=(lone, *result.clients[1:]))
    assert parsed(write_report(tmp_path, ReportData(title="Gap", results=[gap]))).faults == []


def test_headline_is_the_strictest_rate_with_ten_false_accepts_everywhere() -> None:
    def result(*accepts: int) -> PersonalisedResult:
        base = results()[0]
        rates = tuple(
            Rate(0.5, 10, 0.5, far, k, 10_000) for far, k in zip((1e-2, 1e-3, 1e-4), accepts, strict=True)
        )
        clients = tuple(
            dataclasses.replace(client, verification=rates, replicates=None) for client in base.clients
        )
        return dataclasses.replace(base, clients=clients)

    assert headline([result(100, 10, 1)]) == 1
    assert headline([result(100, 10, 1), result(100, 9, 10)]) == 0
    assert headline([result(9, 1, 0)]) == 0  # none is supported: the mildest


def test_verdicts_follow_the_interval() -> None:
    verdicts = [one.verdict for one in DIFFERENCES]
    assert verdicts == ["higher", "lower", "no difference shown", "no difference shown"]
    edge = dataclasses.replace(DIFFERENCES[0], interval=(0.0, 0.1))
    assert edge.verdict == "no difference shown"


def test_numbers_are_those_of_the_data(data: ReportData, tmp_path: Path) -> None:
    write_numbers(tmp_path, data, {"version": "x"})
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["version"] == "x"
    assert record["results"] == [result.to_dict() for result in data.results]
    assert [one["difference"] for one in record["differences"]] == [0.05, -0.05, 0.05, 0.05]
    assert record["differences"][3]["interval"] is None
    assert record["sweeps"][0]["panels"][0]["lines"][0]["points"][1] == {
        "x": 0.5,
        "value": 0.2,
        "interval": None,
    }
    assert record["left_out"] == ["3 of 9 things."]
    text = (tmp_path / "report.md").read_text()
    for heading in (
        "At the strictest rates",
        "As in Table 1",
        "Differences",
        "What is left out",
        "by client",
    ):
        assert f"{heading}" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for one, other in itertools.pairwise(rows):
        if other.startswith("| ---"):
            assert one.count("|") == other.count("|")


def test_nothing_is_drawn_or_printed_large_that_the_trials_do_not_carry(tmp_path: Path) -> None:
    """Few non-mated pairs: 18 probes of a client against 4 · 18 others' leave no false accepts at 1e-3."""
    weak = []
    for result in results()[:2]:
        clients = tuple(
            dataclasses.replace(
                client,
                verification=tuple(
                    dataclasses.replace(rate, false_accepts=0, far_target=1e-4)
                    for rate in client.verification[:1]
                ),
                identification=client.identification[1:],
                replicates=None,
            )
            for client in result.clients
        )
        weak.append(dataclasses.replace(result, clients=clients))
    page = write_report(tmp_path, ReportData(title="Weak", results=weak))
    text = page.read_text()
    assert 'class="tile"' not in text
    assert "There are too few trials" in text
    assert 'class="best"' not in text.split("rank 1")[0]
    assert "clients" not in {path.stem for path in (tmp_path / "figures").iterdir()}
    assert "No threshold is drawn" in text
    # No rate at all is supported, but FMRs from 10 of 756 on are: the ROC begins there.
    drawing = roc_figure(results()[:1])
    assert drawing is not None
    few = tuple(
        dataclasses.replace(
            client, verification=tuple(dataclasses.replace(rate, non_mated=9) for rate in client.verification)
        )
        for client in results()[0].clients
    )
    assert roc_figure([dataclasses.replace(results()[0], clients=few)]) is None


def test_losses_without_any_known_term_give_no_figure() -> None:
    assert losses_figure([]) is None
    assert losses_figure([{"round": 1, "clients": {"a": {"seconds": 2.0}}}]) is None
    one_round = losses_figure([{"round": 1, "clients": {"a": {"loss": 2.0}}}])
    assert one_round is not None
    assert "1 round." in one_round.caption


def test_names_in_matplotlibs_notation() -> None:
    assert shown_name("[Θ_l, Π_l]") == "[Θ$_{l}$, Π$_{l}$]"
    assert shown_name("cost $5_x") == r"cost \$5_x"


def test_without_matplotlib_there_is_a_clear_error_and_nothing_written(
    data: ReportData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPartError, match=r"fedfr-edge\[report\]"):
        write_report(tmp_path / "out", data)
    assert not (tmp_path / "out").exists()


def test_evaluation_imports_numpy_and_nothing_heavier() -> None:
    code = (
        "import sys, fedfr_edge.evaluation.personalised, fedfr_edge.evaluation.pairs, "
        "fedfr_edge.evaluation.tables, fedfr_edge.evaluation.report; "
        "heavy = ('torch', 'matplotlib', 'PIL', 'cv2', 'onnxruntime', 'scipy', 'flwr'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
