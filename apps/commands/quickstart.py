"""``fedfr quickstart``: the whole path on this machine, each step one of the other commands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.extras import require

SECTION = "quickstart"

HELP = """The whole path on this machine: faces, FedFR rounds through Flower, ONNX, a login.

Without --data it renders synthetic people, so it needs no data and no network. Each step is one of
the other commands and is printed as you would type it. Run the same command again to go on after an
interruption.

\b
In:  nothing, or with --data an aligned-face store of your own ('fedfr data import').
Out: in OUT: the store and the split, the pre-trained model, the run with its checkpoints and private
     folders, the exported .onnx files, the results, a gallery, and report.html to look at.
     Exit status 0: everything was done, a genuine person was let in and a stranger kept out; 1: not.
"""


@dataclass(frozen=True)
class QuickstartConfig:
    """Settings of ``fedfr quickstart``; the defaults fit 10 minutes on two cores."""

    out: Path = option(Path("fedfr-quickstart"), help="folder for everything", short="o")
    data: Path | None = option(None, help="your own aligned-face store, instead of synthetic people")
    identities: int = option(160, help="synthetic people to render", low=8)
    images: int = option(30, help="images of each synthetic person", low=4)
    clients: int = option(4, help="clients of the federation", low=2)
    per_client: int | None = option(
        None, help="identities of each client; else a third of all are shared among the clients", low=2
    )
    backbone: str = option("sphereface10", help="backbone, see fedfr pretrain --help")
    width: int = option(16, help="channels of the backbone's first stage", low=1)
    input_size: int = option(56, help="side at which the backbone looks at a face")
    pretrain_epochs: int = option(8, help="passes over the public faces", low=1)
    rounds: int = option(6, help="federated rounds", low=1)
    epochs: int = option(4, help="local epochs in a round", low=1)
    learning_rate: float = option(0.02, help="learning rate of the rounds", low=0)
    mining_threshold: float = option(
        0.5,
        help="cosine above which a public face is a hard negative; see fedfr train --help",
        low=-1,
        high=1,
    )
    seed: int = option(0, help="seed of everything random", low=0)
    threads: int = option(1, help="CPU threads of pre-training; on a busy machine one is fastest", low=1)


def run(config: QuickstartConfig) -> int:
    """Do all steps, then print the table and the paths."""
    from .. import console
    from ..quickstart import device, steps
    from ..quickstart.page import write_page

    require("torch", "onnxscript", "safetensors", "flwr", "matplotlib")
    started = time.monotonic()
    config.out.mkdir(parents=True, exist_ok=True)
    save_config(config, SECTION, config.out / "quickstart.toml")
    places = steps.Places(config.out, config.data)
    steps.prepare(config, places)
    steps.train(config, places)
    results = steps.evaluate(places)
    steps.export(config, places)
    exported = steps.evaluate_exported(places)
    visit = device.play(config, places)
    page = write_page(config, places, results, visit, seconds=time.monotonic() - started)
    steps.show(places, results, exported, visit, page, seconds=time.monotonic() - started)
    if not visit.as_it_should_be:
        console.log.print("error: the login did not decide as it should; see the attempts above")
        return 1
    return 0


COMMAND = Command(section=SECTION, config=QuickstartConfig, run=run, help=HELP)
