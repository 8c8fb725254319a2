"""``fedfr data split``: identities into a public part and clients, images into training and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError

if TYPE_CHECKING:
    from fedfr_edge.data.split import Split


@dataclass(frozen=True)
class SplitConfig:
    """Settings of ``fedfr data split``."""

    store: Path = option(help="aligned-face store to divide", argument=True)
    out: Path = option(help="the split, a JSON file", short="o")
    protocol: Literal["free", "paper"] = option(
        "free",
        help="paper: 6,000 public identities and 4,000 over 40 clients, unless other numbers are given; "
        "free: as the options say",
    )
    reuse: Path | None = option(
        None, help="take this split, by its names, for another store of the same images"
    )
    public: int | None = option(
        None, help="number of public identities; else those listed, or three fifths as in the paper", low=0
    )
    clients: int | None = option(None, help="number of clients; else 4, in the paper 40", low=1)
    per_client: int | None = option(
        None,
        help="identities of each client; else all that are left, in the paper 4,000 over the clients",
        low=1,
    )
    train_images: int = option(60, help="training images of each client identity", low=1)
    test_images: int = option(40, help="test images of each client identity", low=1)
    allow_fewer: bool = option(
        False, help="also give clients identities with fewer images (two or more), divided in proportion"
    )
    seed: int = option(0, help="another seed draws another split")
    public_identities: Path | None = option(None, help="file that lists the public identities, one per line")
    client_identities: Path | None = option(
        None, help="file that lists the identities clients may get, one per line"
    )


def draw(config: SplitConfig) -> Split:
    """Draw the split, without writing it.

    Raises:
        DataError, ConfigError: the store, or a list, cannot be read or does not carry the split.
    """
    from fedfr_edge.data.paper_protocol import paper_split
    from fedfr_edge.data.split import Split, make_split
    from fedfr_edge.data.store import FaceStore

    store = FaceStore.open(config.store)
    if config.reuse is not None:
        plain = SplitConfig(store=config.store, out=config.out, reuse=config.reuse)
        if config != plain:
            raise ConfigError("--reuse takes a split as it is; leave out what would draw another one")
        return Split.load(config.reuse).for_store(store)
    if config.protocol == "paper":
        if config.public_identities or config.client_identities or config.allow_fewer:
            raise ConfigError(
                "--protocol paper draws its identities itself, from those with enough images; leave out "
                "--public-identities, --client-identities and --allow-fewer, or the protocol"
            )
        return paper_split(
            store,
            public=config.public,
            clients=config.clients,
            per_client=config.per_client,
            train_images=config.train_images,
            test_images=config.test_images,
            seed=config.seed,
        )
    public_names = _read_list(config.public_identities)
    public = config.public
    if public is None:
        public = len(public_names) if public_names is not None else round(0.6 * len(store.identities))
    return make_split(
        store,
        public=public,
        clients=4 if config.clients is None else config.clients,
        per_client=config.per_client,
        train_images=config.train_images,
        test_images=config.test_images,
        seed=config.seed,
        allow_fewer=config.allow_fewer,
        public_identities=public_names,
        client_identities=_read_list(config.client_identities),
    )


def write(config: SplitConfig, split: Split) -> None:
    """Write a split with the settings that drew it beside it.

    Raises:
        WriteError: the disk refused.
    """
    split.save(config.out)
    save_config(config, "data.split", config.out.with_suffix(".toml"))


def run(config: SplitConfig) -> None:
    """Draw the split, write it, print what it holds."""
    from fedfr_edge.apps.commands.data_show import split_lines
    from fedfr_edge.apps.console import out

    split = draw(config)
    write(config, split)
    out.print(f"split written to {config.out}")
    for line in split_lines(split):
        out.print(line)


def _read_list(file: Path | None) -> list[str] | None:
    """The lines of ``file`` that are not empty; None without a file."""
    if file is None:
        return None
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the list {file}: {error}; expected a text file, one name per line"
        ) from error
    return [line.strip() for line in lines if line.strip()]


COMMAND = Command(
    section="data.split",
    config=SplitConfig,
    run=run,
    help=(
        "Divide a store as the protocol wants it: public identities, which everybody trains on, and "
        "clients, each with identities of its own, whose images are divided into training and test."
        "\n\n"
        "In: an aligned-face store.\n\n"
        "Out: a JSON file that names identities and images and can be shared, and beside it a .toml "
        "file with the settings. The same settings draw the same split on every machine; the digest that "
        "is printed is that of the file but for the store's own, so that equal digests are the same split."
    ),
)
