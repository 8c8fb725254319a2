"""fedfr-edge: face recognition that learns on the device.

What a device, an evaluator and somebody who prepares data need is here, by one name each (``__all__``);
training, federation and export need torch and Flower and are in ``fedfr_edge.train``, ``.federation`` and
``.export``. Importing this package loads nothing heavy: a name's module is imported when it is first used.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Decision",
    "Detector",
    "EnrolLook",
    "EnrolPolicy",
    "EnrolSession",
    "Enrolment",
    "Face",
    "FaceStore",
    "FedFRError",
    "Gallery",
    "KeyFile",
    "KeyringKey",
    "LoginPolicy",
    "LoginSession",
    "Look",
    "Manifest",
    "MiniFas",
    "OnnxEncoder",
    "Passphrase",
    "Person",
    "Quality",
    "QualityLimits",
    "Rate",
    "Reason",
    "Split",
    "StoreWriter",
    "Strangers",
    "Template",
    "Vault",
    "__version__",
    "align",
    "calibrate_device",
    "calibrate_embeddings",
    "enrol",
    "evaluate_pairs",
    "evaluate_personalised",
    "largest_central",
    "login",
    "make_split",
    "measure_quality",
    "open_detector",
    "read_image",
    "synthesize_store",
    "tar_at_far",
]

_HOMES = {
    "data.split": ("Split", "make_split"),
    "data.store": ("FaceStore", "StoreWriter"),
    "data.synth.generate": ("synthesize_store",),
    "errors": ("FedFRError",),
    "evaluation.metrics": ("Rate", "tar_at_far"),
    "evaluation.pairs": ("evaluate_pairs",),
    "evaluation.personalised": ("evaluate_personalised",),
    "recognition.calibrate": ("calibrate_embeddings",),
    "recognition.calibrate_device": ("calibrate_device",),
    "recognition.capture": ("Reason",),
    "recognition.decision": ("Decision",),
    "recognition.encoder": ("OnnxEncoder",),
    "recognition.enrol_policy": ("EnrolPolicy",),
    "recognition.enrolment": ("enrol",),
    "recognition.gallery": ("Gallery", "Person"),
    "recognition.guided": ("EnrolLook", "EnrolSession"),
    "recognition.keys": ("KeyFile", "Passphrase"),
    "recognition.login": ("login",),
    "recognition.look": ("Look",),
    "recognition.manifest": ("Manifest",),
    "recognition.os_keyring": ("KeyringKey",),
    "recognition.policy": ("LoginPolicy",),
    "recognition.proposal": ("Enrolment",),
    "recognition.session": ("LoginSession",),
    "recognition.stranger_trials": ("Strangers",),
    "recognition.template": ("Template",),
    "recognition.vault": ("Vault",),
    "types": ("Face",),
    "vision.align": ("align",),
    "vision.detect": ("Detector", "open_detector"),
    "vision.image": ("read_image",),
    "vision.liveness": ("MiniFas",),
    "vision.quality": ("Quality", "QualityLimits", "measure_quality"),
    "vision.select": ("largest_central",),
}
"""Module of this package -> the public names that live there."""

if TYPE_CHECKING:  # for type checkers and editors; a test holds that it says what _HOMES says
    from fedfr_edge.data.split import Split, make_split
    from fedfr_edge.data.store import FaceStore, StoreWriter
    from fedfr_edge.data.synth.generate import synthesize_store
    from fedfr_edge.errors import FedFRError
    from fedfr_edge.evaluation.metrics import Rate, tar_at_far
    from fedfr_edge.evaluation.pairs import evaluate_pairs
    from fedfr_edge.evaluation.personalised import evaluate_personalised
    from fedfr_edge.recognition.calibrate import calibrate_embeddings
    from fedfr_edge.recognition.calibrate_device import calibrate_device
    from fedfr_edge.recognition.capture import Reason
    from fedfr_edge.recognition.decision import Decision
    from fedfr_edge.recognition.encoder import OnnxEncoder
    from fedfr_edge.recognition.enrol_policy import EnrolPolicy
    from fedfr_edge.recognition.enrolment import enrol
    from fedfr_edge.recognition.gallery import Gallery, Person
    from fedfr_edge.recognition.guided import EnrolLook, EnrolSession
    from fedfr_edge.recognition.keys import KeyFile, Passphrase
    from fedfr_edge.recognition.login import login
    from fedfr_edge.recognition.look import Look
    from fedfr_edge.recognition.manifest import Manifest
    from fedfr_edge.recognition.os_keyring import KeyringKey
    from fedfr_edge.recognition.policy import LoginPolicy
    from fedfr_edge.recognition.proposal import Enrolment
    from fedfr_edge.recognition.session import LoginSession
    from fedfr_edge.recognition.stranger_trials import Strangers
    from fedfr_edge.recognition.template import Template
    from fedfr_edge.recognition.vault import Vault
    from fedfr_edge.types import Face
    from fedfr_edge.vision.align import align
    from fedfr_edge.vision.detect import Detector, open_detector
    from fedfr_edge.vision.image import read_image
    from fedfr_edge.vision.liveness import MiniFas
    from fedfr_edge.vision.quality import Quality, QualityLimits, measure_quality
    from fedfr_edge.vision.select import largest_central
else:  # a type checker that saw this function would believe in every name

    def __getattr__(name):
        """Import the module of a public name when it is first used (PEP 562)."""
        import importlib

        for home, names in _HOMES.items():
            if name in names:
                value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted(__all__)
