"""What of the paper is run again: rows, columns and orderings of its tables and figures."""

from __future__ import annotations

from dataclasses import dataclass

from ..models_for_evaluation import GENERIC, SPACES
from ..study.orderings import ORDERINGS, Ordering
from ..study.plan import PRETRAINED, Row
from ..study.scores import IJBC, PAIRS_ACCURACY, UNSEEN, tar_at, tpir_at
from .scale import Name, Shown

PERSONAL = "personal"
"""Column of a method's personal models: [Θ_l, Π_l] where there is a branch, else Θ_l; where there is neither,
the generic model on the clients' people."""

THRESHOLD = "mining_threshold"


@dataclass(frozen=True)
class Column:
    """One column of a table, one panel of a figure.

    Attributes:
        heading: its name.
        embedding: a column of the study, or :data:`PERSONAL`; None where each line has its own.
        measure: name of the measure.
    """

    heading: str
    embedding: str | None
    measure: str


@dataclass(frozen=True)
class Target:
    """A table or a figure of the paper.

    Attributes:
        name: as on the command line.
        title: above it.
        about: what it shows, in a sentence.
        methods: rows; the pre-trained model is one of them.
        generic: whether it shows generic models on people nobody trained on.
        personal: whether it shows the models of the clients' people.
    """

    name: Name
    title: str
    about: str
    methods: tuple[str, ...]
    generic: bool
    personal: bool

    @property
    def orderings(self) -> tuple[Ordering, ...]:
        """What the paper says of the order."""
        return tuple(one for one in ORDERINGS if one.source == self.title.partition(":")[0])

    def rows(self, shown: Shown, default_threshold: float, *, share_proxies: bool) -> list[Row]:
        """The study's rows. The one whose swept setting has its usual value is the tables' own row."""
        methods = [name for name in self.methods if share_proxies or name != "fedface"]
        if self.name == "figure3":
            values = [value for value in shown.thresholds if value != default_threshold]
            return [*(Row(name) for name in methods), *(Row("fedfr", (THRESHOLD, value)) for value in values)]
        return [Row(name) for name in methods]

    def columns(self, shown: Shown, *, pairs: bool, ijbc: bool) -> list[Column]:
        """Its columns, left to right."""
        columns = []
        if self.generic:
            names = [*map(tar_at, shown.generic_fars), *map(tpir_at, shown.fpirs)]
            columns += [Column(f"generic {name}", UNSEEN, name) for name in names]
            columns += [Column("pairs accuracy", UNSEEN, PAIRS_ACCURACY)] * pairs
            names = [*map(tar_at, shown.ijbc_fars), *map(tpir_at, shown.fpirs)] * ijbc
            columns += [Column(IJBC + name, UNSEEN, IJBC + name) for name in names]
        if self.personal:
            own = None if self.name == "table3" else PERSONAL
            prefix = "" if self.name == "table3" else "personal "
            names = [*map(tar_at, shown.personal_fars), *map(tpir_at, shown.fpirs)]
            columns += [Column(prefix + name, own, name) for name in names]
        return columns


TARGETS: dict[Name, Target] = {
    target.name: target
    for target in (
        Target(
            "table1",
            "Table 1: generic models, and personal ones beside them",
            "The pre-training set alone, FedAvg, shared public data, and FedFR's parts one after another.",
            (
                PRETRAINED,
                *("fedavg", "shared", "hard-negatives", "contrastive", "fedfr"),
                "central",
            ),
            generic=True,
            personal=True,
        ),
        Target(
            "table2",
            "Table 2: ways to a personal model",
            "Fine-tuning or distillation in a second stage, a branch with CosFace, FedFR's binary branch.",
            ("fine-tune", "kd", "branch-cosface", "fedfr"),
            generic=False,
            personal=True,
        ),
        Target(
            "table3",
            "Table 3: the three embeddings of FedFR on the clients' people",
            "Θ_g, which all share; Θ_l, a client's own before the average; [Θ_l, Π_l], with its transform.",
            ("fedfr",),
            generic=False,
            personal=True,
        ),
        Target(
            "figure3",
            "Figure 3: the threshold t_HN of hard negatives",
            "FedFR with several t_HN. The paper's own figure was not at hand: that it shows this sweep is "
            "taken from its description.",
            (PRETRAINED, "fedfr"),
            generic=True,
            personal=True,
        ),
        Target(
            "figure4",
            "Figure 4: people of a client, against FedFace",
            "The same clients with fewer and fewer people each, down to one.",
            (PRETRAINED, "fedavg", "fedfr", "fedface"),
            generic=True,
            personal=True,
        ),
    )
}

TABLE3_LINES = (GENERIC, *SPACES)
"""Lines of Table 3: three embeddings of one run."""
