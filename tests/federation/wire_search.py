"""What must not be on the wire, a search for it that no border can hide from, and a relay that records."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from small_federation import World

from fedfr_edge.federation.data import Faces
from fedfr_edge.train.checkpoint import GlobalModel
from fedfr_edge.train.embed import embed
from fedfr_edge.train.private import PrivateState

Floats = npt.NDArray[np.float32]

_KEY = 8
"""Bytes by which a piece is looked up before it is compared in full."""


class Search:
    """A search for many byte strings at once.

    Each is looked for by its two halves: wherever one border (of a chunk, a packet, an HTTP frame) falls,
    one half is whole. Strings shorter than 32 bytes are looked for as they are.

    Args:
        wanted: name -> bytes, at least 8 of them and not one byte over and over.
    """

    def __init__(self, wanted: Mapping[str, bytes]) -> None:
        pieces: dict[int, list[tuple[bytes, str]]] = {}
        for name, value in wanted.items():
            middle = len(value) // 2
            for piece in (value[:middle], value[middle:]) if len(value) >= 32 else (value,):
                assert len(piece) >= _KEY, name
                assert len(set(piece)) > 1, f"{name} would be found anywhere"
                pieces.setdefault(int.from_bytes(piece[:_KEY], "little"), []).append((piece, name))
        self._pieces = pieces
        self._keys = np.array(sorted(pieces), np.uint64)

    def found_in(self, streams: Iterable[bytes]) -> set[str]:
        """The names of those that are in one of ``streams``, at any offset."""
        names: set[str] = set()
        for stream in streams:
            for shift in range(min(_KEY, len(stream) - _KEY + 1)):
                values = np.frombuffer(stream, "<u8", (len(stream) - shift) // _KEY, shift)
                nearest = np.searchsorted(self._keys, values).clip(max=len(self._keys) - 1)
                for place in np.flatnonzero(self._keys[nearest] == values):
                    start = shift + _KEY * int(place)
                    for piece, name in self._pieces[int(values[place])]:
                        if stream.startswith(piece, start):
                            names.add(name)
        return names


def rows_of(name: str, matrix: Floats) -> dict[str, bytes]:
    """Each row of a matrix, float32 and float64, little-endian."""
    found = {f"{name}[{row}]": values.astype("<f4").tobytes() for row, values in enumerate(matrix)}
    doubles = {f"{name}[{row}] float64": values.astype("<f8").tobytes() for row, values in enumerate(matrix)}
    return found | doubles


def secrets_of(world: World, client: str, state: PrivateState, start: GlobalModel) -> dict[str, bytes]:
    """Everything of one client that must stay, after its first round.

    Rows of W, Π and Ω; both biases; embeddings of D_l under Θ_g and Θ_l, also of the flipped images, as they
    come out of the network and of length 1; every row of pixels of D_l, both ways round: as bytes (RGB, and
    each colour by itself), as float32, and as the network's input (RGB, and each colour by itself).
    """
    wanted = rows_of("W", state.local_proxies.numpy())
    wanted |= rows_of("Π", state.transform_weight.numpy()) | rows_of("Ω", state.binary_proxies.numpy())
    wanted |= rows_of("Π's bias", state.transform_bias.numpy()[None])
    wanted |= rows_of("b", state.binary_bias.numpy()[None])
    faces = Faces.open(world.store, world.split, [world.public_store])
    images = np.asarray(faces.of_client(client, start).images)
    for way, shown in (("", images), (" flipped", np.ascontiguousarray(images[:, :, ::-1]))):
        for whose, backbone in (("Θ_g", start.backbone), ("Θ_l", state.backbone)):
            net = GlobalModel(start.spec, backbone, start.global_proxies).build()
            features = embed(net, shown, batch=64, device=torch.device("cpu"))
            unit = torch.nn.functional.normalize(features)
            wanted |= rows_of(f"feature under {whose}{way}", features.numpy())
            wanted |= rows_of(f"unit feature under {whose}{way}", unit.numpy())
        for index, image in enumerate(shown):
            for height, pixels in enumerate(image):
                name = f"image {index}{way}, row {height}"
                scaled = ((pixels.astype(np.float32) / 255 - 0.5) / 0.5).astype("<f4")
                wanted |= {
                    name: pixels.tobytes(),
                    f"{name} float32": pixels.astype("<f4").tobytes(),
                    f"{name} input": scaled.tobytes(),
                }
                for colour in range(3):
                    wanted[f"{name} colour {colour}"] = pixels[:, colour].tobytes()
                    wanted[f"{name} colour {colour} input"] = scaled[:, colour].tobytes()
    return {f"{client}: {name}": value for name, value in wanted.items()}


def model_pieces(name: str, backbone: Mapping[str, torch.Tensor], proxies: torch.Tensor) -> dict[str, bytes]:
    """Every 16 numbers of Θ's float tensors that are not all alike, and every row of Φ."""
    wanted = {f"{name} Φ[{row}]": values.numpy().tobytes() for row, values in enumerate(proxies)}
    for key, tensor in backbone.items():
        values = tensor.numpy().reshape(-1)
        for start in range(0, len(values) - 15, 16):
            piece = values[start : start + 16]
            if tensor.is_floating_point() and len(set(piece[:8])) > 2 and len(set(piece[8:])) > 2:
                wanted[f"{name} {key}[{start}]"] = piece.tobytes()
    return wanted


@dataclass
class Recording:
    """What one connection has carried, up (from the client) and down."""

    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)


class Relay:
    """A TCP relay on loopback that hands on every byte and keeps a copy of it.

    Args:
        target: the port to connect to for each connection that comes in.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._recordings: list[Recording] = []
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def take(self) -> tuple[list[bytes], list[bytes]]:
        """What each connection has carried since the last call: up, down."""
        with self._lock:
            up = [bytes(item.up) for item in self._recordings]
            down = [bytes(item.down) for item in self._recordings]
            for item in self._recordings:
                item.up.clear()
                item.down.clear()
        return up, down

    def _serve(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            recording = Recording()
            with self._lock:
                self._recordings.append(recording)
                self._sockets += [here, there]
            for source, goal, copy in ((here, there, recording.up), (there, here, recording.down)):
                threading.Thread(target=self._pump, args=(source, goal, copy), daemon=True).start()

    def _pump(self, source: socket.socket, goal: socket.socket, copy: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                with self._lock:
                    copy += data
                goal.sendall(data)
        with contextlib.suppress(OSError):
            goal.shutdown(socket.SHUT_WR)

    @contextmanager
    def running(self) -> Iterator[Relay]:
        """Relay until the end of the block."""
        threading.Thread(target=self._serve, daemon=True).start()
        try:
            yield self
        finally:
            with contextlib.suppress(OSError):  # wakes the thread that waits for a connection
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            with self._lock:
                for item in self._sockets:
                    item.close()
