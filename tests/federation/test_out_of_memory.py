"""Memory that runs out is told by a code of its own, whoever raised it, and nothing else is taken for it."""

from __future__ import annotations

import errno
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fedfr_edge.errors import SplitError, StoreError
from fedfr_edge.federation.refusal import CODES, OUT_OF_MEMORY, code_of, coded, is_code, lasting, reason_of


def numpys() -> None:
    np.empty(2**58, np.float64)


def torchs() -> None:
    torch.empty(2**50)


def wrapped() -> None:
    try:
        numpys()
    except MemoryError as error:
        raise coded("store", StoreError("no image 'anna/0012' could be read")) from error


def raising(error: BaseException) -> Callable[[], None]:
    def begin() -> None:
        raise error

    return begin


@pytest.mark.parametrize(
    "fault",
    [
        numpys,
        torchs,
        wrapped,
        raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")),
        raising(RuntimeError("CUDA error: out of memory")),
        raising(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")),
        raising(RuntimeError("unable to mmap 128 bytes from file </x>: Cannot allocate memory (12)")),
        raising(RuntimeError("std::bad_alloc")),
        raising(OSError(errno.ENOMEM, "Cannot allocate memory")),
    ],
)
def test_memory_that_runs_out(fault: Callable[[], None]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (whose error it is, is what the test is about)
        fault()
    for checking in (True, False):
        assert code_of(caught.value, checking=checking) == OUT_OF_MEMORY
    # One word, so that it travels; no refusal, and another attempt may be spared it.
    assert is_code(OUT_OF_MEMORY)
    assert OUT_OF_MEMORY not in CODES
    assert not lasting(reason_of(OUT_OF_MEMORY))


@pytest.mark.parametrize(
    ("error", "before", "in_training"),
    [
        (RuntimeError("size mismatch for W"), "RuntimeError", "RuntimeError"),
        (ValueError("out of memory"), "ValueError", "ValueError"),
        (OSError(errno.ENOSPC, "No space left on device"), "OSError", "OSError"),
        (SplitError("x"), "split", "SplitError"),
        (coded("other-public", SplitError("x")), "other-public", "other-public"),
    ],
)
def test_what_is_something_else(error: BaseException, before: str, in_training: str) -> None:
    assert code_of(error, checking=True) == before
    assert code_of(error, checking=False) == in_training


def test_a_refusal_is_marked_as_one() -> None:
    assert reason_of("other-public") == "refused before training: other-public"
    assert reason_of("StoreError") == "StoreError"
