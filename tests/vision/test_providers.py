"""What computes: CUDA where it works, the CPU, or an error, and never the one for the other in silence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from fedfr_edge.errors import MissingPartError
from fedfr_edge.vision import runtime
from fedfr_edge.vision.detect import open_detector
from fedfr_edge.vision.runtime import CPU, CUDA, Provider, open_session

PROVIDERS: tuple[Provider, ...] = get_args(Provider)


class Session:
    """A session that uses what the machine has, whatever was asked for."""

    def __init__(self, asked: list[str], works: bool) -> None:
        self.asked = asked
        self._in_effect = [name for name in asked if name == CPU or works]

    def get_providers(self) -> list[str]:
        return self._in_effect


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make onnxruntime one of: without CUDA, with it, falling back in silence, failing loudly."""

    def make(*, listed: bool, works: bool = False, raises: bool = False, model_is_good: bool = True) -> None:
        def session(
            model: bytes, *, sess_options: Any, providers: list[Any], enable_fallback: int
        ) -> Session:
            names = [one if isinstance(one, str) else one[0] for one in providers]
            assert set(names) <= ({CUDA, CPU} if listed else {CPU}), "a provider that is not there"
            assert enable_fallback == 0  # else a later run could move to the CPU
            if not model_is_good:
                raise ValueError("no model")
            if raises and CUDA in names:
                raise RuntimeError("CUDA failure 100: no CUDA-capable device")
            return Session(names, works)

        ort = SimpleNamespace(
            InferenceSession=session,
            SessionOptions=lambda: SimpleNamespace(add_session_config_entry=lambda key, value: None),
            get_available_providers=lambda: [CUDA, CPU] if listed else [CPU],
            disable_telemetry_events=lambda: None,
        )
        monkeypatch.setattr(runtime, "import_onnxruntime", lambda: ort)

    return make


NO_GPU = [{"listed": False}, {"listed": True}, {"listed": True, "raises": True}]
"""Machines without a GPU that works: the CPU build, the GPU build that falls back, the one that fails."""


@pytest.mark.parametrize("provider", PROVIDERS)
def test_with_a_gpu_that_works(machine: Callable[..., None], provider: Provider) -> None:
    machine(listed=True, works=True)
    expected = CPU if provider == "cpu" else CUDA
    assert open_session(b"", provider=provider).get_providers()[0] == expected


@pytest.mark.parametrize("without", NO_GPU)
@pytest.mark.parametrize("provider", ["auto", "cpu", "cuda"])
def test_without_one_the_cpu_does_it_and_cuda_says_so(
    machine: Callable[..., None],
    without: dict[str, bool],
    provider: Provider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine(**without)
    with caplog.at_level(logging.WARNING):
        assert open_session(b"", provider=provider).get_providers() == [CPU]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (1 if provider == "cuda" else 0)
    assert all(CUDA in line and "fedfr doctor" in line for line in said)


@pytest.mark.parametrize("without", NO_GPU)
def test_without_one_cuda_required_is_an_error(
    machine: Callable[..., None], without: dict[str, bool]
) -> None:
    machine(**without)
    with pytest.raises(MissingPartError, match=rf"{CUDA} is not in effect.*\[gpu\].*fedfr doctor"):
        open_session(b"", provider="cuda!")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_bad_model_is_not_blamed_on_the_provider(machine: Callable[..., None], provider: Provider) -> None:
    machine(listed=True, works=True, model_is_good=False)
    with pytest.raises(ValueError, match="no model"):
        open_session(b"", provider=provider)


def test_the_real_one_refuses_what_it_does_not_have() -> None:
    """The runtime that is installed here, with the detector that comes along."""
    if CUDA in runtime.import_onnxruntime().get_available_providers():
        pytest.skip("this onnxruntime may really have CUDA")
    with pytest.raises(MissingPartError, match=f"{CUDA} is not in effect"):
        open_detector("centerface", provider="cuda!", threads=1)
    open_detector("centerface", provider="cuda", threads=1)


def test_a_detector_that_only_knows_the_cpu_refuses_cuda() -> None:
    with pytest.raises(MissingPartError, match="runs on the CPU only"):
        open_detector("yunet:any.onnx", provider="cuda!")
