"""What the commands of a device share: opening gallery, key, model and detector, reading photographs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fedfr_edge.errors import ConfigError, FedFRError, GalleryError, ImageError
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.keys import KeyFile, KeyProvider, Passphrase
from fedfr_edge.recognition.os_keyring import KeyringKey
from fedfr_edge.types import Image
from fedfr_edge.vision.detect import Detector
from fedfr_edge.vision.runtime import Provider, conflict

from . import console
from .gallery_options import GalleryOptions

if TYPE_CHECKING:
    from fedfr_edge.recognition.vault import Vault
    from fedfr_edge.vision.liveness import PassiveLiveness

PASSPHRASE_VARIABLE = "FEDFR_PASSPHRASE"
"""Environment variable read before a gallery's passphrase is asked for on the terminal."""

NEW_VARIABLE = "FEDFR_NEW_PASSPHRASE"
"""The same for the new passphrase of ``gallery rekey``."""

EXPORT_VARIABLE = "FEDFR_EXPORT_PASSPHRASE"
"""The same for the passphrase of an export."""

IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff"])
"""Files of a folder that are taken for photographs (case does not matter)."""

KeyKind = Literal["file", "passphrase", "keyring"]


def say(text: str) -> None:
    """Print a result line."""
    console.out.print(text)


def counted(number: int, one: str, more: str | None = None) -> str:
    """``1 image``, ``2 images``; ``more`` where an s is not enough."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def remark(text: str) -> None:
    """Print a remark to standard error."""
    console.log.print(text, soft_wrap=True)


def open_encoder(
    model: Path, provider: Provider, threads: int | None, *, verify_weights: bool = True
) -> OnnxEncoder:
    """Open an exported model; see :class:`OnnxEncoder`.

    Raises:
        ModelError, MissingPartError: as :class:`OnnxEncoder`.
    """
    warning = conflict()
    if warning is not None:
        remark(f"warning: {warning}")
    return OnnxEncoder(model, provider=provider, threads=threads, verify_weights=verify_weights)


def open_eyes(spec: str, aligned: bool, provider: Provider, threads: int | None) -> Detector | None:
    """The detector; none for faces that come aligned.

    Raises:
        ConfigError, MissingPartError: as :func:`fedfr_edge.vision.detect.open_detector`.
    """
    if aligned:
        return None
    from fedfr_edge.vision.detect import open_detector

    return open_detector(spec, provider=provider, threads=threads)


def k_of_n(text: str) -> tuple[int, int]:
    """``--frames K/N`` as (k, n).

    Raises:
        ConfigError: it is something else.
    """
    k, slash, n = text.partition("/")
    if not (slash and k.isdecimal() and n.isdecimal()):
        raise ConfigError(f"--frames is {text!r}, expected K/N, for example 2/3")
    return int(k), int(n)


def open_passive(entries: Sequence[str], threads: int | None) -> PassiveLiveness | None:
    """The networks of ``--passive SCALE:FILE.onnx``; None without one.

    Raises:
        ConfigError: an entry that is something else.
        MissingPartError: as :class:`~fedfr_edge.vision.liveness.MiniFas`.
    """
    from fedfr_edge.vision.liveness import MiniFas

    networks = []
    for entry in entries:
        scale, colon, file = entry.partition(":")
        try:
            networks.append((Path(file), float(scale)))
        except ValueError:
            colon = ""
        if not colon or not file:
            raise ConfigError(f"--passive is {entry!r}, expected SCALE:FILE.onnx, for example 2.7:V2.onnx")
    return MiniFas(networks, threads=threads) if networks else None


def key_provider(
    kind: KeyKind,
    key_file: Path | None,
    gallery: Path,
    *,
    new: bool,
    variable: str = PASSPHRASE_VARIABLE,
    prompt: str = "Passphrase",
) -> KeyProvider:
    """Where the key of ``gallery`` is kept.

    Args:
        kind: file, passphrase or keyring.
        key_file: for ``"file"``; None means ``GALLERY.key``, beside the gallery.
        gallery: the gallery's folder.
        new: the key is about to be made: a passphrase is then asked for twice.
        variable: environment variable that may hold the passphrase.
        prompt: what to ask for it.

    Raises:
        ConfigError: a key file is given with another kind of key.
        GalleryError: a passphrase is needed and there is no terminal to ask on.
    """
    if key_file is not None and kind != "file":
        raise ConfigError(f"--key-file {key_file} contradicts --key {kind}; leave one of them away")
    if kind == "keyring":
        return KeyringKey()
    if kind == "file":
        return KeyFile(key_file if key_file is not None else gallery.with_name(gallery.name + ".key"))
    return Passphrase(passphrase(variable, prompt, new=new))


def passphrase(variable: str, prompt: str, *, new: bool = False) -> str:
    """A passphrase from the environment, or asked for on the terminal (twice if it is new).

    Raises:
        GalleryError: there is neither.
    """
    text = os.environ.get(variable)
    if text is None:
        if not sys.stdin.isatty():
            raise GalleryError(
                "a passphrase is needed and there is no terminal to ask on; set the environment variable "
                f"{variable}"
            )
        text = str(click.prompt(prompt, hide_input=True, confirmation_prompt=new, err=True))
    return text


def open_gallery(config: GalleryOptions, *, accept_restored: bool = False, inspect: bool = False) -> Vault:
    """Open the gallery that a command was given; see :meth:`Vault.open`.

    Raises:
        ConfigError, GalleryError, WriteError: as :func:`key_provider` and :meth:`Vault.open`.
    """
    from fedfr_edge.recognition.vault import Vault

    keys = key_provider(config.key, config.key_file, config.gallery, new=False)
    return Vault.open(config.gallery, keys, accept_restored=accept_restored, inspect=inspect)


def is_new_gallery(path: Path) -> bool:
    """Whether a gallery is still to be made at ``path``.

    Raises:
        GalleryError: something else is there.
    """
    from fedfr_edge.recognition.vault_files import STATE, require_place

    require_place(path)
    return not (path / STATE).exists()


def photo_files(paths: Sequence[Path]) -> list[Path]:
    """The photographs meant by files and folders: a folder stands for the image files directly in it.

    Raises:
        ImageError: a path that does not exist, or a folder without image files.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if _is_photo(file))
            if not found:
                raise ImageError(
                    f"folder {path} holds no photographs ({', '.join(sorted(IMAGE_SUFFIXES))}); give the "
                    "folder of one person, or files"
                )
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise ImageError(f"no such file or folder: {path}; check the path")
    return files


def read_photos(files: Sequence[Path]) -> list[tuple[str, Image | FedFRError]]:
    """Read photographs; one that cannot be read is given as its error, so that the others count."""
    from fedfr_edge.vision.image import read_image

    photos: list[tuple[str, Image | FedFRError]] = []
    for file in files:
        try:
            photos.append((file.name, read_image(file)))
        except ImageError as error:
            photos.append((file.name, error))
    return photos


def _is_photo(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file()
