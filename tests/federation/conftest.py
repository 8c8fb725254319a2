"""Fixtures of the federation's tests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch

with warnings.catch_warnings():
    # typer, which Flower pins below 0.21, asks click 8.5 for two names that click 9 will not have.
    warnings.filterwarnings(
        "ignore", r"'click\.utils\.get_(binary|text)_stream' is deprecated", DeprecationWarning
    )
    import flwr  # noqa: F401

from small_federation import World, make_world

from fedfr_edge.federation.flower_private import task_identity


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def flower() -> Iterator[None]:
    """Lets a test make Flower's messages outside of an engine."""
    with task_identity(1):
        yield
