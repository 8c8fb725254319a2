"""Streams depend on seed, round, client and purpose, and on nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from fedfr_edge.train.seeds import RoundSeed


def test_every_part_of_the_name_matters() -> None:
    roots = [RoundSeed(*parts) for parts in itertools.product((0, 1), (1, 2, 11), ("c1", "c", "1c"))]
    names = [root.integer(stream) for root in roots for stream in ("batches", "W", "")]
    assert len(set(names)) == len(names)
    assert all(0 <= name < 2**63 for name in names)


def test_neighbouring_fields_do_not_run_into_each_other() -> None:
    assert RoundSeed(1, 1, "a|1:b").digest("c") != RoundSeed(1, 1, "a").digest("1:b|c")


def test_the_streams_repeat_and_leave_the_global_state_alone() -> None:
    root = RoundSeed(3, 2, "client-00")
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    first = torch.rand(4, generator=root.generator("x")), root.numpy("x").random(4)
    again = torch.rand(4, generator=root.generator("x")), root.numpy("x").random(4)
    assert torch.equal(first[0], again[0])
    assert first[1].tolist() == again[1].tolist()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()


def test_a_stream_is_the_same_on_every_machine() -> None:
    # sha256 of "1|2|1:c|1:x", worked out with the command line tool sha256sum.
    assert RoundSeed(1, 2, "c").digest("x").hex().startswith("e7e22b76f76d844f")
