"""Every method that the paper measures: which images, which losses, what is trained, and small clients."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_training import SPEC_BN, client, clients, config, model

from fedfr_edge.errors import ConfigError
from fedfr_edge.train import losses
from fedfr_edge.train.backbones.backbone import build_backbone, normalise
from fedfr_edge.train.client import ClientData, client_round
from fedfr_edge.train.config import METHODS, TrainConfig
from fedfr_edge.train.local_model import LocalModel
from fedfr_edge.train.loop import run_rounds
from fedfr_edge.train.seeds import RoundSeed

SEED, SECOND = RoundSeed(7, 1, "client-00"), RoundSeed(7, 2, "client-00")

# What the paper's tables say of each: public images (of 12), terms of the loss in a later round.
EXPECTED = {
    "fedavg": (0, {"loss_cos"}),
    "shared": (12, {"loss_cos"}),
    "hard-negatives": (5, {"loss_cos"}),
    "contrastive": (5, {"loss_cos", "loss_con"}),
    "fedfr": (5, {"loss_cos", "loss_con", "loss_bce"}),
    "branch-cosface": (5, {"loss_cos", "loss_con", "loss_branch"}),
    "fine-tune": (5, {"loss_cos", "loss_con"}),
    "kd": (5, {"loss_cos", "loss_con"}),
    "fedface": (0, {"loss_cos"}),
    "central": (12, {"loss_cos"}),
}


@pytest.fixture(scope="module")
def threshold() -> float:
    """A t_HN that makes five of the twelve public images hard negatives in round 1 of ``client()``."""
    net, data = model().build(), client()
    with torch.no_grad():
        own, public = (
            F.normalize(net(normalise(torch.from_numpy(np.array(images)))))
            for images in (data.images, data.public_images)
        )
    ranked = (public @ own.T).amax(dim=1).sort(descending=True).values
    return float(ranked[4] + ranked[5]) / 2


@pytest.mark.parametrize("method", METHODS)
def test_each_method_sees_its_images_and_has_its_losses(method: str, threshold: float) -> None:
    settings = config(method=method, mining_threshold=threshold, rounds=8)
    private, update, first = client_round(None, model(), client(), settings, SEED)
    images, terms = EXPECTED[method]
    assert first["hard_negatives"] == images
    assert update is not None
    start = dataclasses.replace(model(), backbone=update.backbone, round=1)
    _, _, later = client_round(private, start, client(), settings, SECOND)
    assert {name for name in later if name.startswith("loss_")} == terms
    weights = settings.terms_of(2)
    assert later["loss"] == pytest.approx(sum(weights[name] * later[name] for name in terms), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_does_not_use_stays_as_it_was(method: str) -> None:
    settings = config(method=method, mining_threshold=-1.0, rounds=8)
    start = model()
    private, update, _ = client_round(None, start, client(), settings, SEED)
    assert update is not None
    assert torch.equal(update.global_proxies, start.global_proxies) == (METHODS[method]["public"] == "none")
    branch = METHODS[method]["branch"]
    assert torch.equal(private.transform_weight, torch.eye(16)) == (branch == "none")
    assert torch.equal(private.binary_bias, torch.zeros(2)) == (branch != "binary")
    assert (update.local_proxies is not None) == (method == "fedface")
    if update.local_proxies is not None:
        assert torch.equal(update.local_proxies, private.local_proxies)


class _Unreadable:
    """Public images that nobody may look at."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, rows: object) -> np.ndarray:
        raise AssertionError("a method without public images read one")


def test_fedavg_reads_no_public_image_and_needs_none() -> None:
    settings, data = config(method="fedavg"), client()
    unread = dataclasses.replace(data, public_images=_Unreadable())
    _, update, _ = client_round(None, model(), unread, settings, SEED)
    nothing = dataclasses.replace(
        data, public_images=data.public_images[:0], public_labels=data.public_labels[:0]
    )
    bare = dataclasses.replace(model(), global_proxies=model().global_proxies[:0])
    _, alone, _ = client_round(None, bare, nothing, settings, SEED)
    assert update is not None
    assert alone is not None
    assert alone.global_proxies.shape == (0, 16)
    for name, value in update.backbone.items():
        assert torch.equal(alone.backbone[name], value)


def small_clients() -> dict[str, ClientData]:
    data = client()
    one_person, one_image = client(identities=1, images=5), client(identities=1, images=1)
    return {"fewer images than a batch": data, "one identity": one_person, "one image": one_image}


@pytest.mark.parametrize("case", small_clients())
@pytest.mark.parametrize("method", METHODS)
def test_small_clients_train_in_every_method_and_profile(method: str, case: str) -> None:
    """Also without a single hard negative, and with batch normalisation, which dislikes small batches."""
    for profile in ("paper", "reference"):
        settings = config(
            method=method, profile=profile, mining_threshold=1.0, batch_size=64, epochs=(2, 1), rounds=1
        )
        settings = dataclasses.replace(settings, learning_rate=0.01)
        start, data = model(SPEC_BN), small_clients()[case]
        private, update, metrics = client_round(None, start, data, settings, SEED)
        assert update is not None
        assert metrics["steps"] == 2
        assert np.isfinite(metrics["loss"])
        moved = [
            name
            for name, value in update.backbone.items()
            if "weight" in name and not torch.equal(value, start.backbone[name])
        ]
        assert len(moved) > 10  # it did learn: more than what weight decay alone would not reach
        assert "net.conv_sep.layers.0.weight" in moved
        again, _, _ = client_round(
            private, dataclasses.replace(start, backbone=update.backbone, round=1), data, settings, SECOND
        )
        assert again.round == 2


def test_one_identity_alone_is_drawn_to_its_proxy() -> None:
    """Over one class CosFace is constant; the positive-cosine loss is not, and falls."""
    settings = config(method="fedavg", epochs=(30,), learning_rate=0.1, weight_decay=0.0, batch_size=16)
    data = client(identities=1, images=6)
    _, _, first = client_round(None, model(), data, dataclasses.replace(settings, epochs=(1,)), SEED)
    _, _, all_epochs = client_round(None, model(), data, settings, SEED)
    assert 0 < all_epochs["loss_cos"] < first["loss_cos"]


@pytest.mark.parametrize("stage", ["fine-tune", "kd"])
def test_a_second_stage_stays_at_the_client_and_sees_only_its_own_images(stage: str) -> None:
    settings = config(method=stage, rounds=1, second_epochs=3, mining_threshold=-1.0)
    private, update, first = client_round(None, model(), client(), settings, SEED)
    assert update is not None
    assert first["hard_negatives"] == 12
    start = dataclasses.replace(model(), round=1)
    data = dataclasses.replace(client(), public_images=_Unreadable())
    personal, nothing, metrics = client_round(private, start, data, settings, SECOND)
    assert nothing is None
    assert metrics["hard_negatives"] == 0
    assert metrics["steps"] == 3 * 2
    assert {name for name in metrics if name.startswith("loss_")} == (
        {"loss_cos"} if stage == "fine-tune" else {"loss_cos", "loss_kd"}
    )
    assert not torch.equal(personal.local_proxies, private.local_proxies)
    assert personal.round == 2
    # It starts from Θ_g, not from the client's last Θ_l.
    elsewhere = dataclasses.replace(
        private, backbone={name: torch.zeros_like(value) for name, value in private.backbone.items()}
    )
    again, _, _ = client_round(elsewhere, start, data, settings, SECOND)
    for name, value in personal.backbone.items():
        assert torch.equal(again.backbone[name], value)


def test_a_distilled_model_stays_closer_to_the_global_one() -> None:
    """Closer in what distillation compares: the logits."""
    start = dataclasses.replace(model(), round=1)
    settings = config(method="kd", rounds=1, second_epochs=6, weight_decay=0.0)
    apart = []
    for weight in (1e-6, 1.0):
        _, _, metrics = client_round(
            None, start, client(), dataclasses.replace(settings, kd_weight=weight), SECOND
        )
        apart.append(metrics["loss_kd"])
    assert 0 < apart[1] < 0.7 * apart[0]
    _, _, without = client_round(None, start, client(), dataclasses.replace(settings, kd_weight=0.0), SECOND)
    assert "loss_kd" not in without


def test_distillation_is_the_kullback_leibler_divergence_in_float64() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(0, 4, (5, 7)), rng.normal(0, 4, (5, 7))
    for heat in (1.0, 2.5):
        expected = 0.0
        for s, t in zip(student / heat, teacher / heat, strict=True):
            p, q = np.exp(t) / np.exp(t).sum(), np.exp(s) / np.exp(s).sum()
            expected += heat**2 * float((p * np.log(p / q)).sum()) / 5
        got = losses.distillation(torch.from_numpy(student), torch.from_numpy(teacher), temperature=heat)
        assert float(got) == pytest.approx(expected, rel=1e-12)
    same = torch.from_numpy(teacher)
    assert float(losses.distillation(same, same, temperature=2.0)) == pytest.approx(0, abs=1e-12)


def test_positive_cosine_is_the_mean_square_of_what_is_missing() -> None:
    cosine = torch.tensor([0.95, 0.9, 0.4, -1.0], dtype=torch.float64, requires_grad=True)
    got = losses.positive_cosine(cosine, margin=0.9)
    assert got.item() == pytest.approx((0.5**2 + 1.9**2) / 4, rel=1e-12)
    (slope,) = torch.autograd.grad(got, cosine)
    assert slope.tolist() == pytest.approx([0, 0, -2 * 0.5 / 4, -2 * 1.9 / 4])


def test_the_branchs_cosface_knows_hard_negatives_and_leaves_phi_alone() -> None:
    """Behind Π the columns are [Ω ; Φ]; told anew in float64, with Φ's gradient from Eq. 3 only."""
    settings = config(method="branch-cosface", mining_threshold=-1.0).resolved()
    data, start = client(), model()
    private, _, _ = client_round(None, start, data, settings, SEED)
    trained = LocalModel(start, private, settings, torch.device("cpu"))
    faces = normalise(torch.from_numpy(np.concatenate([data.images[:4], data.public_images[:4]])))
    labels = torch.from_numpy(np.concatenate([data.labels[:4], 2 + data.public_labels[:4]]))
    terms = trained.losses(faces, labels, (), ["loss_branch"])
    with torch.no_grad():
        moved = trained.backbone(faces).double() @ private.transform_weight.double().T
        moved = F.normalize(moved + private.transform_bias)
        columns = F.normalize(torch.cat([private.binary_proxies, start.global_proxies]).double())
        logits = 30 * (moved @ columns.T)
        logits[torch.arange(8), labels] -= 30 * 0.4
        expected = F.cross_entropy(logits, labels)
    assert terms["loss_branch"].item() == pytest.approx(expected.item(), rel=1e-4)
    terms["loss_branch"].backward()
    assert trained.global_proxies.grad is None
    assert float(trained.binary_proxies.grad.abs().sum()) > 0


def test_images_beyond_the_budget_are_read_step_by_step_with_the_same_bits() -> None:
    for method in ("fedfr", "shared"):
        settings = config(method=method, mining_threshold=-1.0)
        private, held, _ = client_round(None, model(), client(), settings, SEED)
        lazily, read, _ = client_round(
            None, model(), client(), dataclasses.replace(settings, image_budget=0.0), SEED
        )
        assert held is not None
        assert read is not None
        for name, value in held.backbone.items():
            assert torch.equal(read.backbone[name], value)
        assert torch.equal(lazily.local_proxies, private.local_proxies)


def test_half_precision_is_refused_on_the_cpu() -> None:
    for precision in ("bf16", "fp16"):
        with pytest.raises(ConfigError, match="slower than float32"):
            client_round(None, model(), client(), config(precision=precision), SEED)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_computes_the_backbone_only(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU too, where nobody wants it: what a GPU would run, but for the kernels."""
    monkeypatch.setattr("fedfr_edge.train.client.require_fit", lambda precision, device: None)
    net = build_backbone(model().spec).eval()
    x = torch.rand((3, 3, 112, 112), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        full = net(x)
        net.precision = precision
        half = net(x)
    assert half.dtype == torch.float32
    assert 0 < float((half - full).abs().max()) < 0.05 * float(full.abs().max())
    _, whole, exact = client_round(None, model(), client(), config(mining_threshold=-1.0), SEED)
    _, update, metrics = client_round(
        None, model(), client(), config(mining_threshold=-1.0, precision=precision), SEED
    )
    assert update is not None
    assert whole is not None
    assert metrics["loss"] == pytest.approx(exact["loss"], rel=0.05)
    assert all(value.dtype == whole.backbone[name].dtype for name, value in update.backbone.items())


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while it compiles
def test_a_compiled_backbone_trains_to_the_same_weights() -> None:
    results = []
    for compiled in (False, True):
        settings = config(mining_threshold=-1.0, compile=compiled)
        _, update, metrics = client_round(None, model(), client(), settings, SEED)
        assert update is not None
        results.append((update.backbone, metrics["loss"]))
    (plain, loss), (fast, fast_loss) = results
    assert fast_loss == pytest.approx(loss, rel=1e-5)
    assert plain.keys() == fast.keys()
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-3, atol=1e-5)


def test_settings_that_contradict_the_method_are_refused() -> None:
    with pytest.raises(ConfigError, match="has no branch"):
        TrainConfig(method="fedavg", alpha_bce=10.0).resolved()
    with pytest.raises(ConfigError, match="nothing would be learned"):
        TrainConfig(method="hard-negatives", alpha_cos=0.0).resolved()


def test_a_setting_that_is_given_wins_over_the_method() -> None:
    settings = TrainConfig(method="contrastive", public="all", alpha_con=2.0).resolved()
    assert (settings.public, settings.alpha_con, settings.branch) == ("all", 2.0, "none")
    assert settings.resolved() == settings


def test_the_second_stage_is_one_round_more() -> None:
    settings = TrainConfig(method="kd", rounds=3, epochs=(5, 4), second_epochs=7)
    assert settings.last_round == 4
    assert [settings.stage_of(number) for number in range(1, 5)] == ["federated"] * 3 + ["kd"]
    assert [settings.epochs_of(number) for number in range(1, 5)] == [5, 4, 4, 7]
    assert TrainConfig(method="fedfr", rounds=3).last_round == 3


def test_part_of_the_clients_a_round_keeps_each_ones_last_model() -> None:
    """Θ_l^{t−1} of Eq. 5 is then the client's own last one, however many rounds ago that was."""
    settings = config(participation=0.4, epochs=(1,))
    _, states, metrics = run_rounds(model(), clients(), settings, seed=3, rounds=6)
    took_part = [set(of_round) for of_round in metrics]
    assert all(len(names) == 1 for names in took_part)
    assert len(set.union(*took_part)) > 1
    for client_name, state in states.items():
        assert state.round == max(n for n, names in enumerate(took_part, 1) if client_name in names)
    returning = next(
        (number, name)
        for number, names in enumerate(took_part, 1)
        for name in names
        # Straight after its own round, alone in it, Θ_g is its Θ_l and Eq. 5 a constant.
        if any(name in earlier for earlier in took_part[: number - 1]) and name not in took_part[number - 2]
    )
    # A client that comes back has a model of its own to differ from; the loss is no constant there.
    assert metrics[returning[0] - 1][returning[1]]["loss_con"] != pytest.approx(np.log(2), abs=1e-7)
