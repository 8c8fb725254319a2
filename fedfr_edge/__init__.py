"""fedfr-edge: face recognition that learns on the device.

Importing this package loads nothing heavy: torch, Flower, onnxruntime and OpenCV are imported by
the modules that need them.
"""

__version__ = "0.1.0"
