"""onnxruntime, opened the same way by every detector."""

from __future__ import annotations

from typing import Any

from fedfr_edge.errors import MissingPartError


def open_session(model: bytes | str, *, threads: int | None) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU for a model's bytes or path.

    Raises:
        MissingPartError: onnxruntime is not installed or damaged, or cannot run the model.
    """
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
    except (ImportError, AttributeError) as error:
        # AttributeError: onnxruntime and onnxruntime-gpu were both there and one was uninstalled.
        raise MissingPartError(
            "onnxruntime is not installed (or damaged), the detector needs it; "
            "run: pip install --force-reinstall 'fedfr-edge[cpu]'  (or [gpu])"
        ) from error
    onnxruntime.disable_telemetry_events()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common public base
        what = model if isinstance(model, str) else "the detector's network"
        reason = " ".join(str(error).split())
        raise MissingPartError(
            f"onnxruntime cannot run {what}, expected a detector's ONNX file: {reason}"
        ) from error
