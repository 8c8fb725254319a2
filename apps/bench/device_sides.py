"""The two that are measured: this project's login and insightface's pipeline, over the same networks.

insightface is used as its ``FaceAnalysis`` uses it: its SCRFD class, its ``norm_crop`` and its
``ArcFaceONNX``, sessions as it opens them. Only the number of threads is given to both alike.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fedfr_edge.vision.runtime import import_onnxruntime

STAGES = ("decode", "detect", "align", "embed", "search")


@dataclasses.dataclass(frozen=True)
class Task:
    """What both sides open, as it travels to other processes.

    Attributes:
        model: an exported model.
        nchw: the same network as insightface takes it.
        detector: ``scrfd:FILE.onnx``; ours also opens others.
        people: ``.npy`` file, float32 (n, d) unit templates.
        threshold: a score from which on somebody is recognised.
        side: insightface's detector sees photographs at this size, padded to a square; 0 leaves it at its
            own choice, two sizes one after the other.
    """

    model: str
    nchw: str
    detector: str
    people: str
    threshold: float
    side: int = 640

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Of :meth:`to_json`."""
        return cls(**json.loads(text))


class Side(Protocol):
    """From a photograph's bytes to the row of the person recognised, or None."""

    def decide(self, data: bytes) -> int | None:
        """The whole way."""
        ...

    def stages(self, data: bytes) -> dict[str, float] | None:
        """Seconds of each stage; None where no face is found."""
        ...


class Clock:
    """Seconds of one stage after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[[], Any]) -> Any:
        """Do ``work`` as ``stage``."""
        started = time.perf_counter()
        result = work()
        self.seconds[stage] = time.perf_counter() - started
        return result


class Ours:
    """:func:`fedfr_edge.recognition.login.login` as ``fedfr login`` calls it, quality check and all."""

    def __init__(self, task: Task, threads: int) -> None:
        import cv2

        from fedfr_edge.recognition.encoder import OnnxEncoder
        from fedfr_edge.recognition.gallery import Gallery
        from fedfr_edge.recognition.template import Template
        from fedfr_edge.vision.detect import open_detector

        cv2.setNumThreads(threads)
        self.detector = open_detector(task.detector, provider="cpu", threads=threads)
        self.encoder = OnnxEncoder(Path(task.model), provider="cpu", threads=threads, verify_weights=False)
        self.gallery = Gallery(self.encoder.digest, self.encoder.dim)
        for row, vector in enumerate(np.load(task.people)):
            self.gallery.add(str(row), Template(vector, self.encoder.digest, 1))
        self.threshold = task.threshold

    def decide(self, data: bytes) -> int | None:
        """See :class:`Side`."""
        from fedfr_edge.recognition.capture import quality_gate
        from fedfr_edge.recognition.login import LoginPolicy, login
        from fedfr_edge.vision.image import decode_image

        decision = login(
            decode_image(data, "photograph"),
            encoder=self.encoder,
            gallery=self.gallery,
            detector=self.detector,
            policy=LoginPolicy(threshold=self.threshold, quality=quality_gate),
        )
        return None if decision.person is None else int(decision.person.name)

    def stages(self, data: bytes) -> dict[str, float] | None:
        """See :class:`Side`; ``quality`` stands between ``align`` and ``embed``."""
        from fedfr_edge.recognition.capture import quality_gate
        from fedfr_edge.recognition.template import make_template
        from fedfr_edge.vision.align import align
        from fedfr_edge.vision.image import decode_image
        from fedfr_edge.vision.select import largest_central

        clock = Clock()
        image = clock("decode", lambda: decode_image(data, "photograph"))
        faces = clock("detect", lambda: self.detector.detect(image))
        if not faces:
            return None
        chosen = largest_central(faces, image.shape)
        aligned = clock("align", lambda: align(image, chosen.landmarks))
        clock("quality", lambda: quality_gate(image, chosen, aligned))
        embedding = clock("embed", lambda: self.encoder.embed(aligned[None]))
        clock(
            "search",
            lambda: self.gallery.identify(make_template(embedding, self.encoder.digest), self.threshold),
        )
        return clock.seconds


class Theirs:
    """insightface's classes in the order in which its ``FaceAnalysis.get`` calls them.

    It is asked for one face (``max_num=1``), as a login wants it; left to itself it embeds every one.
    """

    def __init__(self, task: Task, threads: int) -> None:
        import warnings

        import cv2

        onnxruntime = import_onnxruntime()  # before insightface does; without telemetry, like ours
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX
        from insightface.model_zoo.scrfd import SCRFD

        # norm_crop says at every process's first face that scikit-image will rename what it calls.
        warnings.filterwarnings("ignore", "`estimate` is deprecated", FutureWarning)
        cv2.setNumThreads(threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads

        def session(file: str) -> Any:
            return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

        file = task.detector.partition(":")[2]
        self.detector = SCRFD(model_file=file, session=session(file))
        size = [(task.side, task.side)] if task.side else [(128, 128), (640, 640)]
        self.detector.prepare(0, input_size=size, det_thresh=0.5)
        self.recogniser = ArcFaceONNX(model_file=task.nchw, session=session(task.nchw))
        self.people: npt.NDArray[np.float32] = np.load(task.people)
        self.threshold = task.threshold

    def decide(self, data: bytes) -> int | None:
        """See :class:`Side`."""
        found = self._run(data, Clock())
        return found[0] if found is not None else None

    def stages(self, data: bytes) -> dict[str, float] | None:
        """See :class:`Side`."""
        clock = Clock()
        return None if self._run(data, clock) is None else clock.seconds

    def _run(self, data: bytes, clock: Clock) -> tuple[int | None] | None:
        import cv2
        from insightface.utils.face_align import norm_crop

        image = clock("decode", lambda: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
        boxes, marks = clock("detect", lambda: self.detector.detect(image, max_num=1))
        if not len(boxes):
            return None
        aligned = clock("align", lambda: norm_crop(image, landmark=marks[0], image_size=112))
        embedding = clock("embed", lambda: self.recogniser.get_feat(aligned).flatten())

        def search() -> tuple[int, float]:
            scores = self.people @ (embedding / np.linalg.norm(embedding))
            best = int(np.argmax(scores))
            return best, float(scores[best])

        best, score = clock("search", search)
        return (best if score >= self.threshold else None,)
