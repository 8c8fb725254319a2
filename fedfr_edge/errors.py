"""Every error that fedfr-edge raises on purpose.

::

    FedFRError
    ├── ConfigError            a key, a value or a file of settings
    ├── MissingPartError       a package, detector or provider that is not installed
    ├── WriteError             the disk refused (full, read-only); what was there is untouched
    ├── DataError
    │   ├── ImageError         bytes that are no image
    │   ├── CameraError        a camera that is not there, or gives no pictures
    │   ├── StoreError         an aligned-face store that is damaged or not ours
    │   └── SplitError         an identity on both sides, too few images, another store
    ├── VisionError
    │   ├── NoFaceError
    │   ├── SeveralFacesError
    │   └── AlignmentError     landmarks that give no similarity transform
    ├── ModelError
    │   ├── ForeignModelError  an ONNX file that fedfr-edge did not export, or a damaged one
    │   └── ModelMismatchError a template made by another model
    ├── GalleryError           enrolment, deletion, a gallery that cannot be opened
    │   └── IntegrityError     a gallery that was altered, cut short, swapped or rolled back
    ├── TrainingError
    │   ├── CheckpointError
    │   └── NonFiniteError     a loss or an update that is NaN or infinite
    ├── FederationError
    │   ├── QuorumError        too few clients answered
    │   ├── PayloadError       something that must not leave (or enter) a client
    │   └── PrivateStateError  a private folder of another client or federation
    └── ExportError            parity with torch not reached; no file is left behind

A message has three parts: what was found, what was expected, what to do. The command line prints
it as one line and exits with status 1; it prints no traceback.
"""


class FedFRError(Exception):
    """Base of all errors raised on purpose; its text is meant for the user."""


class ConfigError(FedFRError):
    """A setting that is unknown, missing, of the wrong type or out of range."""


class MissingPartError(FedFRError):
    """A package, detector or execution provider that is needed here but not installed."""


class WriteError(FedFRError):
    """Writing failed (disk full, read-only); files that existed before are untouched."""


class DataError(FedFRError):
    """Base of errors about images, stores and splits."""


class ImageError(DataError):
    """A file or buffer that cannot be decoded as an image."""


class CameraError(DataError):
    """A camera that is not there, cannot be opened, or has stopped giving pictures."""


class StoreError(DataError):
    """An aligned-face store that is missing, cut short, altered or of another format."""


class SplitError(DataError):
    """A split that contradicts itself or the store it is used with."""


class VisionError(FedFRError):
    """Base of errors about finding and aligning faces."""


class NoFaceError(VisionError):
    """No face was found where one is needed."""


class SeveralFacesError(VisionError):
    """Several faces were found where exactly one is needed."""


class AlignmentError(VisionError):
    """Landmarks that are not finite or too degenerate for a similarity transform."""


class ModelError(FedFRError):
    """Base of errors about exported models."""


class ForeignModelError(ModelError):
    """A model file that fedfr-edge did not export, or that is damaged."""


class ModelMismatchError(ModelError):
    """A template or threshold that belongs to another model."""


class GalleryError(FedFRError):
    """A gallery that cannot be opened, or an enrolment or deletion that cannot be done."""


class IntegrityError(GalleryError):
    """A gallery whose files are not those that were written last; the message names what was done to them."""


class TrainingError(FedFRError):
    """Base of errors of training."""


class CheckpointError(TrainingError):
    """A checkpoint or weights file that does not fit, or is damaged."""


class NonFiniteError(TrainingError):
    """A loss or an update stopped being finite; the message names client, step and term."""


class FederationError(FedFRError):
    """Base of errors of federated rounds."""


class QuorumError(FederationError):
    """Fewer clients answered than the round needs."""


class PayloadError(FederationError):
    """A message that carries something it must not, or lacks something it must have."""


class PrivateStateError(FederationError):
    """A private folder that belongs to another client or federation, or is in use."""


class ExportError(FedFRError):
    """An export that failed its own check; no file is left behind."""
