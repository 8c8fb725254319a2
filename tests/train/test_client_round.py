"""ClientTraining: pure, repeatable, fed with the right images, and loud when something is wrong."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import SPEC, SPEC_BN, client, config, faces, model

from fedfr_edge.errors import NonFiniteError, TrainingError
from fedfr_edge.train.backbones.backbone import build_backbone, normalise
from fedfr_edge.train.client import METRICS, ClientData, client_round
from fedfr_edge.train.mining import SharedEmbeddings
from fedfr_edge.train.private import PrivateState
from fedfr_edge.train.seeds import RoundSeed

SEED = RoundSeed(7, 1, "client-00")


def frozen(value: Any) -> list[bytes]:
    """All bits of a private state, an update, a model or client data."""
    if isinstance(value, PrivateState):
        return [array.tobytes() for array in value.to_arrays().values()]
    if isinstance(value, ClientData):
        return [np.asarray(value.images[:]).tobytes(), np.asarray(value.public_images[:]).tobytes()]
    arrays = [*value.backbone.values(), value.global_proxies]
    return [array.numpy().tobytes() for array in arrays]


def test_nothing_that_goes_in_is_changed() -> None:
    data, start, settings = client(), model(), config(mining_threshold=0.0)
    private, _, _ = client_round(None, start, data, settings, SEED)
    before = frozen(private), frozen(start), frozen(data)
    client_round(private, start, data, settings, RoundSeed(7, 2, "client-00"))
    assert (frozen(private), frozen(start), frozen(data)) == before


def test_the_same_arguments_give_the_same_bits_and_another_seed_does_not() -> None:
    data, settings = client(), config(local_proxies="normal")
    a, b = (client_round(None, model(), data, settings, SEED) for _ in range(2))
    assert frozen(a[0]) == frozen(b[0])
    assert frozen(a[1]) == frozen(b[1])
    other = client_round(None, model(), data, settings, RoundSeed(8, 1, "client-00"))
    assert frozen(other[1]) != frozen(a[1])


def test_global_random_state_does_not_matter_and_is_left_alone() -> None:
    torch.manual_seed(1)
    a = client_round(None, model(), client(), config(first_previous="random"), SEED)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    b = client_round(None, model(), client(), config(first_previous="random"), SEED)
    assert frozen(a[1]) == frozen(b[1])
    assert torch.equal(before, torch.get_rng_state())


def test_what_leaves_is_the_trained_model_before_any_average() -> None:
    private, update, metrics = client_round(None, model(), client(), config(), SEED)
    assert set(vars(update)) == {"backbone", "global_proxies", "images", "local_proxies"}
    assert update.local_proxies is None
    assert set(metrics) == set(METRICS) - {"loss_branch", "loss_kd"}
    for name, value in update.backbone.items():
        assert torch.equal(value, private.backbone[name])
        assert value.data_ptr() != private.backbone[name].data_ptr()
    assert update.images == 10
    assert not torch.equal(update.global_proxies, model().global_proxies)
    assert all(not torch.equal(value, model().backbone[name]) for name, value in update.backbone.items())
    assert private.round == 1


def test_a_state_that_went_through_arrays_goes_on_bit_for_bit() -> None:
    data, settings, start = client(), config(), model()
    private, _, _ = client_round(None, start, data, settings, SEED)
    restored = PrivateState.from_arrays(private.to_arrays())
    rng = RoundSeed(7, 2, "client-00")
    a, b = (client_round(state, start, data, settings, rng) for state in (private, restored))
    assert frozen(a[0]) == frozen(b[0])
    assert frozen(a[1]) == frozen(b[1])


def test_private_arrays_are_kept_between_rounds() -> None:
    data, start, settings = client(), model(), config(learning_rate=0.0)
    private, _, _ = client_round(None, start, data, settings, SEED)
    private.transform_bias += 0.5
    private.binary_bias -= 0.25
    again, _, _ = client_round(private, start, data, settings, RoundSeed(7, 2, "client-00"))
    for name in ("local_proxies", "transform_weight", "transform_bias", "binary_proxies", "binary_bias"):
        assert torch.equal(getattr(again, name), getattr(private, name))


def test_the_first_private_state_is_means_identity_copy_and_zero() -> None:
    data, start = client(), model()
    private, _, _ = client_round(None, start, data, config(learning_rate=0.0), SEED)
    with torch.no_grad():
        out = start.build()(normalise(torch.from_numpy(data.images)))
    unit = (out / out.norm(dim=1, keepdim=True)).double().numpy()
    means = np.stack([unit[data.labels == k].mean(axis=0) for k in range(2)])
    np.testing.assert_allclose(private.local_proxies.numpy(), means, atol=1e-6)
    assert torch.equal(private.binary_proxies, private.local_proxies)
    assert torch.equal(private.transform_weight, torch.eye(16))
    assert not private.transform_bias.any()
    assert not private.binary_bias.any()


def test_normal_proxies_have_the_stated_spread() -> None:
    own, labels = faces(60, 1, 3)
    data = dataclasses.replace(client(), images=own, labels=labels)
    settings = config(learning_rate=0.0, local_proxies="normal", epochs=(1,), batch_size=64)
    private, _, _ = client_round(None, model(), data, settings, SEED)
    assert private.local_proxies.std().item() == pytest.approx(0.01, rel=0.1)
    assert private.local_proxies.mean().item() == pytest.approx(0, abs=0.001)


def test_round_one_has_the_constant_contrastive_loss_and_equals_computing_it() -> None:
    """Skipping Eq. 5 in the first round changes nothing: Θ_g as the previous model gives the same weights."""
    data, start, settings = client(), model(), config()
    skipped = client_round(None, start, data, settings, SEED)
    assert skipped[2]["loss_con"] == pytest.approx(math.log(2), rel=1e-6)
    # A state as it stands before any training: its Θ_l is Θ_g, so Eq. 5 is computed, to no effect.
    first, _, _ = client_round(None, start, data, config(learning_rate=0.0), SEED)
    computed = client_round(first, start, data, settings, SEED)
    for name, value in skipped[1].backbone.items():
        torch.testing.assert_close(computed[1].backbone[name], value, rtol=1e-5, atol=1e-6)
    for name in ("loss", "loss_cos", "loss_con", "loss_bce"):
        assert computed[2][name] == pytest.approx(skipped[2][name], rel=1e-6)


def test_a_random_previous_model_gives_another_contrastive_loss() -> None:
    settings = config(first_previous="random", learning_rate=0.0)
    _, _, metrics = client_round(None, model(seed=3), client(), settings, SEED)
    assert abs(metrics["loss_con"] - math.log(2)) > 1e-3


def test_frozen_networks_see_each_image_twice_a_round_however_many_epochs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fedfr_edge.train.backbones.backbone import Backbone

    seen, forward = {"eval": 0, "train": 0}, Backbone.forward

    def counting(self: Backbone, x: torch.Tensor) -> torch.Tensor:
        seen["train" if self.training else "eval"] += len(x)
        return forward(self, x)

    monkeypatch.setattr(Backbone, "forward", counting)
    data, start = client(), model()
    private, _, _ = client_round(None, start, data, config(), SEED)
    seen.update(eval=0, train=0)
    settings = config(epochs=(5,), mining_threshold=-1.0)  # every public image is a hard negative
    _, _, metrics = client_round(private, start, data, settings, RoundSeed(7, 2, "client-00"))
    local, public = 10, 12
    assert metrics["hard_negatives"] == public
    # Θ_g: both views of each (view 0 of a public image is the one that mining made); Θ_l: both views.
    assert seen["eval"] == 4 * (local + public)
    assert seen["train"] == 5 * (local + public)


def test_switched_off_terms_are_neither_computed_nor_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedfr_edge.train import local_model

    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed")

    data, start = client(), model()
    private, _, _ = client_round(None, start, data, config(), SEED)
    monkeypatch.setattr(local_model.losses, "contrastive", never)
    monkeypatch.setattr(local_model.losses, "customization", never)
    monkeypatch.setattr("fedfr_edge.train.client.embed_views", never)
    settings = config(alpha_con=0.0, alpha_bce=0.0)
    after, _, metrics = client_round(private, start, data, settings, RoundSeed(7, 2, "client-00"))
    assert {name for name in metrics if name.startswith("loss")} == {"loss", "loss_cos"}
    assert metrics["loss"] == pytest.approx(metrics["loss_cos"], rel=1e-6)
    assert torch.equal(after.binary_proxies, private.binary_proxies)
    assert torch.equal(after.transform_weight, private.transform_weight)
    assert not torch.equal(after.local_proxies, private.local_proxies)


def test_only_the_customization_term_still_trains_the_backbone() -> None:
    private, update, _ = client_round(None, model(), client(), config(alpha_cos=0.0, alpha_con=0.0), SEED)
    assert all(not torch.equal(v, model().backbone[k]) for k, v in update.backbone.items())
    assert torch.equal(update.global_proxies, model().global_proxies)
    assert not torch.equal(private.transform_weight, torch.eye(16))
    assert private.binary_bias.all()


def test_only_the_constant_trains_nothing_and_does_not_fail() -> None:
    _, update, metrics = client_round(None, model(), client(), config(alpha_cos=0.0, alpha_bce=0.0), SEED)
    assert frozen(update) == frozen(model())
    assert metrics["loss"] == pytest.approx(5 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_client_smaller_than_a_batch_trains(drop_last: bool) -> None:
    settings = config(batch_size=256, drop_last=drop_last)
    _, update, metrics = client_round(None, model(), client(), settings, SEED)
    assert metrics["steps"] == 2
    assert frozen(update) != frozen(model())


@pytest.mark.parametrize("images", [1, 2, 5])
def test_batch_normalisation_survives_small_last_batches(images: int) -> None:
    own, labels = faces(1, images, 4)
    data = dataclasses.replace(client(), images=own, labels=labels)
    settings = config(batch_size=4, mining_threshold=1.0, learning_rate=0.001)
    start = model(SPEC_BN)
    _, update, metrics = client_round(None, start, data, settings, SEED)
    assert metrics["steps"] == 2  # 5 images in batches of 4: the fifth joins the first four
    counters = [name for name in update.backbone if name.endswith("num_batches_tracked")]
    assert counters
    # A single image and its mirror image are no statistics: those of the global model stay.
    expected = 0 if images == 1 else 2
    assert all(int(update.backbone[name] - start.backbone[name]) == expected for name in counters)


def test_momentum_and_the_step_schedule_take_effect() -> None:
    def after(**settings: object) -> list[bytes]:
        return frozen(client_round(None, model(), client(), config(epochs=(4,), **settings), SEED)[1])

    plain = after()
    assert after(momentum=0.9) != plain
    assert after(lr_schedule="step") != plain
    assert after(momentum=0.0, lr_schedule="constant") == plain


def test_the_step_schedule_divides_the_rate_by_ten_from_three_quarters_on() -> None:
    """With all gradients scaled down to weight decay alone, Φ's length tells each epoch's rate."""
    settings = config(
        alpha_cos=1e-30,
        alpha_con=0.0,
        alpha_bce=0.0,
        epochs=(4,),
        batch_size=256,
        lr_schedule="step",
        learning_rate=0.1,
        weight_decay=0.5,
        mining_threshold=1.0,
    )
    start = model()
    _, update, _ = client_round(None, start, client(), settings, SEED)
    expected = (1 - 0.05) ** 3 * (1 - 0.005)
    torch.testing.assert_close(update.global_proxies, start.global_proxies * expected)


def test_shared_public_embeddings_change_no_bit() -> None:
    shared = SharedEmbeddings()
    settings = config(mining_threshold=0.05)
    for name in ("client-00", "client-01"):
        data = client(name, seed=20)
        alone = client_round(None, model(), data, settings, SEED)
        together = client_round(
            None, model(), dataclasses.replace(data, public_embeddings=shared), settings, SEED
        )
        assert alone[2]["hard_negatives"] > 0
        assert frozen(alone[1]) == frozen(together[1])


def test_a_client_without_public_images_trains() -> None:
    data = dataclasses.replace(
        client(), public_images=np.zeros((0, 112, 112, 3), np.uint8), public_labels=np.zeros(0, np.int64)
    )
    assert client_round(None, model(), data, config(), SEED)[2]["hard_negatives"] == 0


def test_progress_ends_exactly_once_for_each_kind_of_work() -> None:
    told: list[tuple[str, int, int]] = []
    client_round(None, model(), client(), config(), SEED, lambda *report: told.append(report))
    state = client_round(None, model(), client(), config(), SEED)[0]
    later: list[str] = []
    second = dataclasses.replace(SEED, round=2)
    client_round(state, model(), client(), config(), second, lambda what, done, total: later.append(what))
    assert {"anchors client-00, round 2", "previous client-00, round 2"} <= {*later}
    kinds = {what for what, _, _ in told}
    assert kinds == {
        "embedding client-00, round 1",
        "mining client-00, round 1",
        "epochs client-00, round 1",
        "steps client-00, round 1",
    }
    for kind in kinds:
        reports = [(done, total) for what, done, total in told if what == kind]
        assert [done for done, total in reports if done == total] == [reports[-1][1]]


@pytest.mark.parametrize("term", ["loss_cos", "loss_bce"])
def test_a_nan_names_client_step_and_term(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedfr_edge.train.local_model import LocalModel

    real, calls = LocalModel.losses, []

    def poisoned(self: LocalModel, *arguments: Any) -> dict[str, torch.Tensor]:
        terms = real(self, *arguments)
        calls.append(1)
        if len(calls) == 2:
            terms[term] = terms[term] * torch.nan
        return terms

    monkeypatch.setattr(LocalModel, "losses", poisoned)
    with pytest.raises(NonFiniteError, match=rf"client-00, round 1: {term} is nan at step 2\b"):
        client_round(None, model(), client(), config(batch_size=2), SEED)


def test_a_global_model_with_a_nan_is_reported_not_trained_on() -> None:
    start = model()
    start.backbone = copy.deepcopy(start.backbone)
    next(iter(start.backbone.values())).view(-1)[0] = torch.nan
    with pytest.raises(NonFiniteError, match="at step 1"):
        client_round(None, start, client(), config(), SEED)


def test_a_last_step_into_infinity_is_caught() -> None:
    with pytest.raises(NonFiniteError, match="client-00, round 1"):
        client_round(None, model(), client(), config(learning_rate=1e38, epochs=(1,), batch_size=256), SEED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, 0, 0, 0, 0, 2, 2, 2, 2, 2])}, "expected 0 to 1"),
        ({"labels": np.zeros(3, np.int64)}, "10 images and 3 labels"),
        ({"images": np.zeros((0, 112, 112, 3), np.uint8), "labels": np.zeros(0, np.int64)}, "0 images"),
        ({"public_labels": np.full(12, 4)}, "has 4 public identities"),
        ({"public_labels": np.full(12, -1)}, "has 4 public identities"),
        ({"public_labels": np.zeros(3, np.int64)}, "12 public images and 3"),
    ],
)
def test_data_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        client_round(None, model(), dataclasses.replace(client(), **change), config(), SEED)


def test_private_state_of_other_identities_is_refused() -> None:
    private, _, _ = client_round(None, model(), client(), config(), SEED)
    with pytest.raises(TrainingError, match="start it anew"):
        client_round(private, model(), client(identities=3), config(), SEED)


def test_the_previous_model_of_the_first_round_is_seeded() -> None:
    a = build_backbone(SPEC, seed=SEED.integer("first_previous"))
    b = build_backbone(SPEC, seed=SEED.integer("first_previous"))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_the_contrastive_term_pulls_towards_the_global_model_and_away_from_the_previous_one() -> None:
    start, images = model(seed=3), normalise(torch.from_numpy(client().images))
    previous = build_backbone(SPEC, seed=SEED.integer("first_previous")).eval()

    def preference(alpha: float) -> float:
        settings = config(alpha_con=alpha, alpha_cos=0.1, alpha_bce=0.0, epochs=(6,), first_previous="random")
        _, update, _ = client_round(None, start, client(), settings, SEED)
        with torch.no_grad():
            after = dataclasses.replace(start, backbone=update.backbone).build()(images)
            similarity = [
                torch.nn.functional.cosine_similarity(after, net(images)).mean()
                for net in (start.build(), previous)
            ]
        return float(similarity[0] - similarity[1])

    assert preference(20.0) > preference(0.0) + 0.01
