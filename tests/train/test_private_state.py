"""The private state through arrays, and what is no private state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_training import SPEC, SPEC_BN, client, config, model

from fedfr_edge.errors import CheckpointError
from fedfr_edge.train.client import client_round
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed


@pytest.fixture(scope="module")
def state() -> PrivateState:
    settings = config(epochs=(1,), learning_rate=0.001)
    return client_round(None, model(SPEC_BN), client(), settings, RoundSeed(1, 3, "client-00"))[0]


def test_arrays_hold_every_bit_dtype_and_name(state: PrivateState) -> None:
    back = PrivateState.from_arrays(state.to_arrays())
    assert back.round == 3
    for name, value in vars(state).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(getattr(back, name), value)
    assert list(back.backbone) == list(state.backbone)
    for name, value in state.backbone.items():
        assert back.backbone[name].dtype == value.dtype
        assert torch.equal(back.backbone[name], value)


def test_arrays_are_copies_both_ways(state: PrivateState) -> None:
    arrays = state.to_arrays()
    back = PrivateState.from_arrays(arrays)
    arrays["local_proxies"][:] = 7
    assert torch.equal(back.local_proxies, state.local_proxies)


def test_read_only_arrays_are_taken_without_a_warning(state: PrivateState) -> None:
    arrays = state.to_arrays()
    for array in arrays.values():
        array.flags.writeable = False
    PrivateState.from_arrays(arrays)


@pytest.mark.parametrize("name", ["local_proxies", "binary_bias", "round"])
def test_a_missing_array_is_refused(name: str, state: PrivateState) -> None:
    arrays = state.to_arrays()
    del arrays[name]
    with pytest.raises(CheckpointError, match="expected"):
        PrivateState.from_arrays(arrays)


def test_unknown_misshapen_and_backboneless_arrays_are_refused(state: PrivateState) -> None:
    arrays = state.to_arrays()
    without = {name: array for name, array in arrays.items() if not name.startswith("backbone/")}
    for bad in (
        {**arrays, "extra": np.zeros(1)},
        {**arrays, "binary_bias": np.zeros(7, np.float32)},
        {**arrays, "local_proxies": np.zeros(7, np.float32)},
        {**arrays, "round": np.zeros(2, np.int64)},
        without,
    ):
        with pytest.raises(CheckpointError):
            PrivateState.from_arrays(bad)


def test_the_personal_model_is_theta_and_pi(state: PrivateState) -> None:
    personal = state.personal_model(SPEC_BN, "client-00", {"training_data_licence": "own"})
    assert (personal.round, personal.client, personal.spec) == (3, "client-00", SPEC_BN)
    assert personal.metadata == {"training_data_licence": "own"}
    assert torch.equal(personal.transform_weight, state.transform_weight)
    assert personal.build().spec == SPEC_BN != SPEC
