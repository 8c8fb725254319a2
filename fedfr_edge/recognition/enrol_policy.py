"""How several images of one person become a template: settings, and the limits that a model gives them."""

from __future__ import annotations

from dataclasses import dataclass

from fedfr_edge.errors import ConfigError
from fedfr_edge.recognition.manifest import Manifest
from fedfr_edge.recognition.template import Combine


@dataclass(frozen=True)
class EnrolPolicy:
    """Settings of an enrolment. Every limit is a cosine, −1 to 1, in the space in which the model decides.

    What is said of ``repeat`` and ``alike`` is held by ``tests/recognition/test_enrol_limits.py``; what
    ``combine`` and ``outlier`` do is measured by ``fedfr evaluate enrolment``.

    Attributes:
        combine: ``"mean"`` (the paper's gallery), ``"robust"`` (geometric median) or ``"all"`` (each image is
            kept; a probe's score is that of the best one).
        outlier: an image whose cosine with the mean of the person's other images is below this is dropped,
            see :func:`~fedfr_edge.recognition.likeness.find_outliers`; None drops none. :func:`policy_for`
            takes the model's loosest threshold.
        repeat: an image with this cosine to an earlier one is the same photograph again, and counts once.
            Saved again as a JPEG, or moved by one pixel, 99 of 100 faces have it; of pairs of images of a
            person found on the web less than 1 in 1,000, most of them one photograph twice.
        alike: images all of whose pairs have this cosine say little about the person in another light; that
            is remarked. Of five images of a person found on the web it is so in less than 1 draw of 100.
        threshold: the threshold of a login, for remarks: images that it would refuse, and people who are
            enrolled and would be taken for this one. None leaves these out.
    """

    combine: Combine = "mean"
    outlier: float | None = None
    repeat: float = 0.95
    alike: float = 0.8
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: a limit that is no cosine.
        """
        for what in ("outlier", "repeat", "alike", "threshold"):
            value = getattr(self, what)
            if value is not None and not -1 <= value <= 1:
                raise ConfigError(
                    f"the limit {what!r} of an enrolment is {value}, expected a cosine, -1 to 1"
                )


def loosest_threshold(manifest: Manifest) -> float | None:
    """The threshold at the greatest false accept rate that the model was calibrated at; None if it was not.

    An image below it is less like the rest than many a stranger's would be.
    """
    records = manifest.thresholds
    return max(records, key=lambda record: record.far).threshold if records else None


def policy_for(
    manifest: Manifest,
    *,
    combine: Combine = "mean",
    drop_outliers: bool = True,
    threshold: float | None = None,
) -> EnrolPolicy:
    """The policy with the limits that a model's calibration gives.

    Args:
        manifest: the model's.
        combine: see :class:`EnrolPolicy`.
        drop_outliers: drop images below :func:`loosest_threshold`.
        threshold: of a login, see :class:`EnrolPolicy`.
    """
    outlier = loosest_threshold(manifest) if drop_outliers else None
    return EnrolPolicy(combine=combine, outlier=outlier, threshold=threshold)
