"""Whole rounds in one process: they repeat, they can be cut in two, and both Θ and Φ travel."""

from __future__ import annotations

import numpy as np
import torch
from tiny_training import clients, config, model

from fedfr_edge.train.checkpoint import GlobalModel, load_global, save_global
from fedfr_edge.train.client import ClientUpdate, client_round
from fedfr_edge.train.loop import run_rounds
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed


def bits(found: GlobalModel) -> list[bytes]:
    return [value.numpy().tobytes() for value in [*found.backbone.values(), found.global_proxies]]


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    a, b = (run_rounds(model(), clients(), config(), seed=5, rounds=2)[0] for _ in range(2))
    other, _, _ = run_rounds(model(), clients(), config(), seed=6, rounds=2)
    assert bits(a) == bits(b) != bits(other)
    assert a.round == 2


def test_stopping_and_going_on_through_files_changes_no_bit(tmp_path) -> None:  # type: ignore[no-untyped-def]
    whole, states, metrics = run_rounds(model(), clients(), config(), seed=5, rounds=3)
    first, halfway, _ = run_rounds(model(), clients(), config(), seed=5, rounds=1)
    save_global(first, tmp_path / "round_0001.safetensors")
    restored = {name: PrivateState.from_arrays(state.to_arrays()) for name, state in halfway.items()}
    second, ended, rest = run_rounds(
        load_global(tmp_path / "round_0001.safetensors"),
        clients(),
        config(),
        seed=5,
        rounds=2,
        states=restored,
    )
    assert bits(second) == bits(whole)
    assert second.round == whole.round == 3
    for name, state in states.items():
        for key, array in state.to_arrays().items():
            assert array.tobytes() == ended[name].to_arrays()[key].tobytes()
    for a, b in zip(metrics[1:], rest, strict=True):
        assert all(a[c]["loss"] == b[c]["loss"] for c in a)


def test_a_round_is_the_mean_of_its_clients_weighted_by_their_images() -> None:
    start, settings = model(), config()
    after, _, metrics = run_rounds(start, clients(), settings, seed=5, rounds=1)
    updates: dict[str, ClientUpdate] = {
        name: client_round(None, start, data, settings, RoundSeed(5, 1, name))[1]
        for name, data in clients().items()
    }
    images = {"client-00": 10, "client-01": 12, "client-02": 6}
    assert {name: numbers["images"] for name, numbers in metrics[0].items()} == images
    expected = sum(images[name] / 28 * updates[name].global_proxies.double().numpy() for name in images)
    np.testing.assert_allclose(after.global_proxies.numpy(), expected, rtol=1e-6)
    for key in start.backbone:
        expected = sum(images[name] / 28 * updates[name].backbone[key].double().numpy() for name in images)
        np.testing.assert_allclose(after.backbone[key].numpy(), expected, rtol=1e-5, atol=1e-8)


def test_the_order_in_which_clients_are_given_does_not_matter() -> None:
    backwards = dict(reversed(clients().items()))
    a, _, _ = run_rounds(model(), clients(), config(), seed=5, rounds=1)
    b, _, _ = run_rounds(model(), backwards, config(), seed=5, rounds=1)
    assert bits(a) == bits(b)


def test_phi_of_round_two_starts_from_the_average_unless_that_is_switched_off() -> None:
    start = model()
    averaged, _, _ = run_rounds(start, clients(), config(), seed=5, rounds=2)
    kept, _, _ = run_rounds(start, clients(), config(average_global_proxies=False), seed=5, rounds=2)
    assert torch.equal(kept.global_proxies, start.global_proxies)
    assert not torch.equal(averaged.global_proxies, start.global_proxies)
    # And it matters to Θ, as it is what the clients train against.
    assert bits(averaged)[0] != bits(kept)[0]


def test_training_lowers_its_losses() -> None:
    settings = config(epochs=(4,), learning_rate=0.05)
    _, _, metrics = run_rounds(model(), clients(), settings, seed=5, rounds=6)
    mean = [
        {term: np.mean([numbers[term] for numbers in one.values()]) for term in ("loss_cos", "loss_bce")}
        for one in metrics
    ]
    assert mean[-1]["loss_cos"] < 0.8 * mean[0]["loss_cos"]
    assert mean[-1]["loss_bce"] < mean[0]["loss_bce"]


def test_the_inputs_are_left_alone() -> None:
    start, data = model(), clients()
    _, states, _ = run_rounds(start, data, config(), seed=5, rounds=1)
    kept = {name: state.to_arrays() for name, state in states.items()}
    before = bits(start)
    run_rounds(start, data, config(), seed=5, rounds=1, states=states)
    assert bits(start) == before
    for name, state in states.items():
        assert all(array.tobytes() == kept[name][key].tobytes() for key, array in state.to_arrays().items())


def test_each_round_goes_by_its_own_number() -> None:
    start = model()
    start.round = 3
    settings = config(epochs=(1, 1, 1, 3, 2), mining_threshold=1.0, batch_size=256)
    after, states, metrics = run_rounds(start, clients(), settings, seed=5, rounds=2)
    assert [one["client-00"]["steps"] for one in metrics] == [3, 2]
    assert {state.round for state in states.values()} == {5} == {after.round}
    expected = client_round(None, start, clients()["client-00"], settings, RoundSeed(5, 4, "client-00"))
    assert metrics[0]["client-00"]["loss"] == expected[2]["loss"]
