"""``fedfr data show``: what a store or a split holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedfr_edge.cli import Command
from fedfr_edge.config import option, save_config
from fedfr_edge.errors import ConfigError

if TYPE_CHECKING:
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore


@dataclass(frozen=True)
class ShowConfig:
    """Settings of ``fedfr data show``."""

    path: Path = option(help="a store's folder, or a split's JSON file", argument=True)
    store: Path | None = option(None, help="for a split: check it against this store")
    verify: bool = option(False, help="hash every image again and compare")
    sheet: Path | None = option(None, help="write a contact sheet of the store's faces, a PNG file")
    identities: int = option(12, help="rows of the contact sheet", low=1, high=200)
    images: int = option(10, help="images in a row of the contact sheet", low=1, high=100)


def run(config: ShowConfig) -> None:
    """Print the summary; write the sheet if one is asked for."""
    from fedfr_edge.apps.console import out, progress_bars
    from fedfr_edge.data.split import Split
    from fedfr_edge.data.store import FaceStore

    lines = []
    folder: Path | None = config.path
    if config.path.is_file():
        split = Split.load(config.path)
        lines += split_lines(split)
        folder = config.store
    elif config.store is not None:
        raise ConfigError(f"--store goes with a split; {config.path} is no split's file, leave --store out")
    if folder is None:
        if config.sheet is not None or config.verify:
            raise ConfigError("a split holds no images: name its store with --store for --sheet or --verify")
    else:
        with progress_bars() as progress:
            store = FaceStore.open(folder, verify=config.verify, progress=progress)
        lines += store_lines(store)
        if config.verify:
            lines.append(f"verified: all {len(store)} images are as they were written")
        if config.path.is_file():
            split.check(store)
            lines.append("the split fits the store")
        if config.sheet is not None:
            lines.append(f"contact sheet: {_write_sheet(store, config)}")
    for line in lines:
        out.print(line)


def store_lines(store: FaceStore) -> list[str]:
    """What ``store`` holds, for a person to read."""
    import numpy as np

    counts = np.bincount(store.labels, minlength=len(store.identities))
    extra = ", ".join(f"{key} {value}" for key, value in store.manifest.get("extra", {}).items())
    lines = [
        f"store       {store.path}",
        f"images      {len(store)}",
        f"identities  {len(store.identities)}",
        f"each has    {counts.min()} to {counts.max()} images, median {np.median(counts):g}",
        f"source      {store.manifest['source']}",
        f"licence     {store.manifest['licence']}",
        f"made by     {store.manifest.get('made_by', 'unknown')}" + (f" ({extra})" if extra else ""),
        f"digest      {store.digest}",
    ]
    single = int((counts == 1).sum())
    return lines + ([f"note        {single} identities have one image only"] if single else [])


def split_lines(split: Split) -> list[str]:
    """What ``split`` holds, for a person to read."""
    lines = [
        f"seed        {split.seed}",
        f"for store   {split.store_digest}",
        f"digest      {split.digest}",
        f"public      {len(split.public)} identities",
        f"clients     {len(split.clients)}",
    ]
    for client, identities in split.clients.items():
        train = sum(len(split.train[identity]) for identity in identities)
        test = sum(len(split.test[identity]) for identity in identities)
        people = "identity" if len(identities) == 1 else "identities"
        lines.append(f"  {client}  {len(identities)} {people}, {train} training and {test} test images")
    return lines


def _write_sheet(store: FaceStore, config: ShowConfig) -> Path:
    from fedfr_edge.data.sheet import contact_sheet, save_png

    assert config.sheet is not None
    picture = contact_sheet(store, identities=config.identities, images=config.images)
    save_png(picture, config.sheet)
    save_config(config, "data.show", config.sheet.with_suffix(".toml"))
    return config.sheet


COMMAND = Command(
    section="data.show",
    config=ShowConfig,
    run=run,
    help=(
        "Show what a store or a split holds: counts, images per identity, source, licence, digest.\n\n"
        "In: the folder of a store, or the JSON file of a split.\n\n"
        "Out: a summary on the terminal; with --sheet a PNG with some faces of each identity, and "
        "beside it a .toml file with the settings."
    ),
)
