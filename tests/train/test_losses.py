"""Every equation against a value that was worked out some other way."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fedfr_edge.train import losses

S, M, LAMBDA, POWER, TAU = 30.0, 0.4, 0.7, 3.0, 0.5


def unit(*rows: tuple[float, ...]) -> Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float64))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plain_cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b)
    )


def plain_bce(transformed: Tensor, proxies: Tensor, bias: Tensor, labels: Tensor) -> float:
    """Eq. 6 as it stands in the paper, in plain Python; log(1 + exp(x)) written out."""
    total = 0.0
    for feature, label in zip(transformed.tolist(), labels.tolist(), strict=True):
        for k, (proxy, b) in enumerate(zip(proxies.tolist(), bias.tolist(), strict=True)):
            g = 2 * ((plain_cosine(feature, proxy) + 1) / 2) ** POWER - 1
            if k == label:
                total += LAMBDA / S * math.log(1 + math.exp(-S * (g - M) - b))
            else:
                total += (1 - LAMBDA) / S * math.log(1 + math.exp(S * (g + M) + b))
    return total / len(labels)


def bce(transformed: Tensor, proxies: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    return losses.customization(
        losses.cosines(transformed, proxies), bias, labels, scale=S, margin=M, positive=LAMBDA, power=POWER
    )


# --- Eq. 1 and 3 -------------------------------------------------------------------------------


def test_cosface_of_two_orthogonal_classes_is_the_closed_form() -> None:
    # cosθ = (1, 0), true class 0: −log( e^{s(1−m)} / (e^{s(1−m)} + 1) ) = log(1 + e^{−s(1−m)}).
    cosine = losses.cosines(unit((1, 0)), unit((1, 0), (0, 1)))
    found = losses.cosface(cosine, torch.tensor([0]), scale=5.0, margin=M)
    assert found.item() == pytest.approx(math.log1p(math.exp(-5 * (1 - M))), rel=1e-12)


def test_cosface_with_equal_cosines_and_no_margin_is_log_of_the_class_count() -> None:
    found = losses.cosface(torch.full((3, 7), 0.3), torch.tensor([0, 3, 6]), scale=S, margin=0.0)
    assert found.item() == pytest.approx(math.log(7), rel=1e-6)


def test_cosface_over_local_and_global_proxies_against_a_plain_loop() -> None:
    features, local, public = random(6, 5), random(2, 5, seed=1), random(3, 5, seed=2)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    columns = local.tolist() + public.tolist()
    total = 0.0
    for feature, label in zip(features.tolist(), labels.tolist(), strict=True):
        logits = [S * (plain_cosine(feature, column) - M * (j == label)) for j, column in enumerate(columns)]
        total += math.log(sum(math.exp(logit) for logit in logits)) - logits[label]
    cosine = losses.cosines(features, torch.cat([local, public]))
    found = losses.cosface(cosine, labels, scale=S, margin=M)
    assert found.item() == pytest.approx(total / 6, rel=1e-12)


def test_only_directions_count() -> None:
    features, proxies = random(4, 5), random(3, 5, seed=1)
    torch.testing.assert_close(losses.cosines(7 * features, proxies / 9), losses.cosines(features, proxies))


# --- Eq. 5 -------------------------------------------------------------------------------------


def test_contrastive_between_opposite_models_is_the_closed_form() -> None:
    # f agrees with the global model (sim 1) and is opposite to the previous one (sim −1).
    found = losses.contrastive(unit((1, 0)), unit((1, 0)), unit((-1, 0)), temperature=TAU)
    best, worst = math.exp(1 / TAU), math.exp(-1 / TAU)
    assert found.item() == pytest.approx(-math.log(best / (best + worst)), rel=1e-12)


def test_contrastive_against_a_plain_loop() -> None:
    f, glob, prev = random(5, 4), random(5, 4, seed=1), random(5, 4, seed=2)
    total = 0.0
    for a, b, c in zip(f.tolist(), glob.tolist(), prev.tolist(), strict=True):
        near, far = math.exp(plain_cosine(a, b) / TAU), math.exp(plain_cosine(a, c) / TAU)
        total -= math.log(near / (near + far))
    normalise = torch.nn.functional.normalize
    found = losses.contrastive(f, normalise(glob), normalise(prev), temperature=TAU)
    assert found.item() == pytest.approx(total / 5, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contrastive_is_exactly_log_2_without_gradient_where_both_models_agree(dtype: torch.dtype) -> None:
    f = random(5, 4).to(dtype).requires_grad_()
    same = torch.nn.functional.normalize(random(5, 4, seed=1).to(dtype))
    found = losses.contrastive(f, same, same.clone(), temperature=TAU)
    found.backward()
    assert found.item() == torch.tensor(losses.CONSTANT_CONTRASTIVE, dtype=dtype).item()
    assert f.grad is not None
    assert torch.count_nonzero(f.grad) == 0


def test_contrastive_stays_finite_at_a_tiny_temperature() -> None:
    found = losses.contrastive(unit((1, 0)), unit((-1, 0)), unit((1, 0)), temperature=1e-6)
    assert found.item() == pytest.approx(2e6)


# --- Eq. 6 -------------------------------------------------------------------------------------


def test_g_maps_the_ends_onto_themselves_and_the_middle_down() -> None:
    found = losses.stretch(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64), POWER)
    assert found.tolist() == [-1.0, 2 * 0.5**3 - 1, 1.0]


def test_g_of_a_cosine_rounded_below_minus_one_is_no_nan() -> None:
    assert losses.stretch(torch.tensor([-1.0000001]), 2.5).item() == -1.0


def test_bce_of_one_image_and_two_orthogonal_classes_is_the_closed_form() -> None:
    # cosθ = (1, 0): g(1) = 1 for its own class, g(0) = −3/4 for the other.
    bias = torch.tensor([0.1, -0.2], dtype=torch.float64)
    expected = LAMBDA / S * math.log1p(math.exp(-S * (1 - M) - 0.1)) + (1 - LAMBDA) / S * math.log1p(
        math.exp(S * (-0.75 + M) - 0.2)
    )
    found = bce(unit((1, 0)), unit((1, 0), (0, 1)), bias, torch.tensor([0]))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_bce_against_a_plain_loop_with_hard_negatives() -> None:
    transformed, proxies, bias = random(6, 5), random(3, 5, seed=1), random(3, seed=2)
    labels = torch.tensor([0, 1, 2, 3, 17, 0])  # 3 and 17 are public identities
    found = bce(transformed, proxies, bias, labels)
    assert found.item() == pytest.approx(plain_bce(transformed, proxies, bias, labels), rel=1e-12)


def test_a_hard_negative_is_a_negative_of_every_local_identity() -> None:
    proxies, bias = random(3, 5, seed=1), torch.zeros(3, dtype=torch.float64)
    image = proxies[1:2].clone()  # lies exactly on identity 1
    as_own, as_negative = (bce(image, proxies, bias, torch.tensor([label])) for label in (1, 3))
    others = sum(
        (1 - LAMBDA) / S * math.log1p(math.exp(S * (losses.stretch(c, POWER).item() + M)))
        for c in losses.cosines(image, proxies)[0, [0, 2]]
    )
    on_it = (1 - LAMBDA) / S * math.log1p(math.exp(S * (1 + M)))
    assert as_negative.item() == pytest.approx(others + on_it, rel=1e-12)
    assert as_negative.item() > as_own.item()


@pytest.mark.parametrize("bias", [1e4, -1e4])
def test_bce_stays_finite_where_exp_would_overflow(bias: float) -> None:
    cosine = torch.tensor([[1.0, -1.0]], requires_grad=True)
    found = losses.customization(
        cosine,
        torch.full((2,), bias),
        torch.tensor([0]),
        scale=1e3,
        margin=M,
        positive=LAMBDA,
        power=POWER,
    )
    found.backward()
    assert math.isfinite(found.item())
    assert cosine.grad is not None
    assert torch.isfinite(cosine.grad).all()
    # One of the two problems is wholly wrong: softplus(x) is x there.
    expected = (0.3 * (1e3 * -0.6 + 1e4) if bias > 0 else 0.7 * (-1e3 * 0.6 + 1e4)) / 1e3
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_of_bce_reaches_the_embedding_through_the_transform() -> None:
    embeddings = random(4, 5).requires_grad_()
    weight, offset = (torch.eye(5, dtype=torch.float64) + 0.1 * random(5, 5, seed=3)), random(5, seed=4)
    proxies, bias, labels = random(3, 5, seed=1), random(3, seed=2), torch.tensor([0, 1, 2, 9])
    bce(embeddings @ weight.T + offset, proxies, bias, labels).backward()
    # Central differences of the plain-Python loop, one coordinate at a time.
    step = 1e-6
    for row in range(4):
        for column in range(5):
            shifted = []
            for sign in (step, -step):
                moved = embeddings.detach().clone()
                moved[row, column] += sign
                shifted.append(plain_bce(moved @ weight.T + offset, proxies, bias, labels))
            slope = (shifted[0] - shifted[1]) / (2 * step)
            assert embeddings.grad is not None
            assert embeddings.grad[row, column].item() == pytest.approx(slope, rel=1e-5, abs=1e-9)
    assert torch.count_nonzero(embeddings.grad).item() == 20


# --- gradients and Eq. 7 -----------------------------------------------------------------------


def test_every_gradient_against_finite_differences() -> None:
    f, glob, prev = random(4, 5), unit(*random(4, 5, seed=5).tolist()), unit(*random(4, 5, seed=6).tolist())
    proxies, bias, labels = random(3, 5, seed=1), random(3, seed=2), torch.tensor([0, 1, 2, 0])
    for tensor in (f, proxies, bias):
        tensor.requires_grad_()
    check = torch.autograd.gradcheck
    assert check(lambda x, w: losses.cosface(losses.cosines(x, w), labels, scale=S, margin=M), (f, proxies))
    assert check(lambda x: losses.contrastive(x, glob, prev, temperature=TAU), (f,))
    assert check(lambda x, w, b: bce(x, w, b, labels), (f, proxies, bias))


def test_the_total_weighs_the_terms_that_are_there() -> None:
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert losses.total(terms, {"a": 1.0, "b": 5.0, "c": 10.0}).item() == 17.0
