"""Login: a photograph and a gallery in, a decision out."""

from __future__ import annotations

import dataclasses

from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.decision import Decision, SecondScore
from fedfr_edge.recognition.encoder import OnnxEncoder
from fedfr_edge.recognition.gallery import Gallery
from fedfr_edge.recognition.policy import LoginPolicy, operating_threshold
from fedfr_edge.recognition.session import LoginSession
from fedfr_edge.types import Image
from fedfr_edge.vision.detect import Detector

__all__ = ["Decision", "LoginPolicy", "SecondScore", "login", "operating_threshold"]


def login(
    image: Image,
    *,
    encoder: OnnxEncoder,
    gallery: Gallery,
    detector: Detector | None,
    policy: LoginPolicy | None = None,
    claim: str | None = None,
) -> Decision:
    """Decide whether a photograph shows somebody who is enrolled: a session of one look.

    Nothing is counted or refused because of earlier attempts: that is
    :meth:`~fedfr_edge.recognition.vault.Vault.record` and ``blocked``.

    Args:
        image: uint8 (h, w, 3) RGB, or an aligned face (112, 112, 3) if ``detector`` is None. Of
            several faces the large and central one is compared.
        encoder: the model; its digest must be the gallery's.
        gallery: the people enrolled.
        detector: finds the faces.
        policy: how careful to be; default: the threshold calibrated on this device, else the model's own,
            and one gate. ``frames`` is of no account.
        claim: name or id of the person it is said to be (1:1); None searches everybody (1:N).

    Raises:
        ModelMismatchError: the gallery was made by another model.
        ModelError: the model was not calibrated as the policy asks.
        ConfigError: liveness is asked for, which one photograph cannot show.
        ImageError: an array that is no photograph.
    """
    policy = dataclasses.replace(policy or LoginPolicy(), frames=(1, 1))
    if policy.liveness:
        raise ConfigError(
            "one photograph cannot show that somebody is alive; give a LoginSession frames of a camera"
        )
    session = LoginSession(encoder=encoder, gallery=gallery, detector=detector, policy=policy, claim=claim)
    session.look(image, 0.0)
    return session.give_up()
