"""D_HN against a float64 loop over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_training import faces, model

from fedfr_edge.train import mining
from fedfr_edge.train.embed import embed, embed_blocks

CPU = torch.device("cpu")


def unit_rows(count: int, dim: int, seed: int) -> torch.Tensor:
    rows = torch.randn((count, dim), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows)


def loop(public: torch.Tensor, local: torch.Tensor, threshold: float) -> list[int]:
    rows = []
    for row, p in enumerate(public.double().numpy()):
        if any(float(p @ q) > threshold for q in local.double().numpy()):
            rows.append(row)
    return rows


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("threshold", [-0.2, 0.1, 0.4, 0.7])
def test_equals_the_loop_over_all_pairs(
    block: int, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining, "_LOCAL_BLOCK", 11)
    monkeypatch.setattr(mining, "_PUBLIC_BLOCK", 50)
    public, local = unit_rows(300, 12, 0), unit_rows(40, 12, 1)
    cosines = public.double() @ local.double().T
    assert (cosines - threshold).abs().min() > 1e-6  # no pair so near that float32 could tip it over
    found = mining.mine(torch.split(public, block), local, threshold=threshold)
    expected = loop(public, local, threshold)
    assert found.rows.tolist() == expected
    torch.testing.assert_close(found.cosines.double(), cosines[expected].amax(dim=1), atol=1e-6, rtol=0)
    assert torch.equal(found.embeddings, public[expected])


def test_a_cosine_equal_to_the_threshold_does_not_exceed_it() -> None:
    public, local = torch.tensor([[0.5, 0.0], [0.75, 0.0]]), torch.tensor([[1.0, 0.0]])
    assert mining.mine([public], local, threshold=0.5).rows.tolist() == [1]


def test_with_a_threshold_of_one_no_public_image_is_even_looked_at() -> None:
    def blocks() -> object:
        raise AssertionError("a block was asked for")
        yield

    found = mining.mine(blocks(), unit_rows(3, 4, 0), threshold=1.0)  # type: ignore[arg-type]
    assert found.rows.dtype == np.int64
    assert found.rows.shape == (0,)
    assert found.embeddings.shape == (0, 4)


def test_no_public_images_give_no_hard_negatives() -> None:
    assert mining.mine([], unit_rows(3, 4, 0), threshold=0.4).rows.shape == (0,)


def test_embeddings_are_those_of_the_network_in_eval_mode() -> None:
    images, _ = faces(3, 4, seed=5)
    net = model().build()
    whole = embed(net, images, batch=100, device=CPU)
    with torch.no_grad():
        one_by_one = torch.cat(
            [net((torch.from_numpy(image[None]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5) for image in images]
        ).double()
    expected = one_by_one / one_by_one.norm(dim=1, keepdim=True)
    torch.testing.assert_close(whole.double(), expected, atol=1e-5, rtol=0)
    mirrored = embed(net, images[:, :, ::-1], batch=5, device=CPU)
    torch.testing.assert_close(embed(net, images, batch=4, device=CPU, flip=True), mirrored)
    assert whole.requires_grad is False


def test_a_read_only_memory_map_is_read_block_by_block(tmp_path: object) -> None:
    images, _ = faces(3, 4, seed=5)
    asked: list[slice] = []

    class Watched:
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, rows: slice) -> np.ndarray:  # type: ignore[type-arg]
            asked.append(rows)
            view = images[rows]
            view.flags.writeable = False
            return view

    blocks = embed_blocks(model().build(), Watched(), batch=5, device=CPU)  # type: ignore[arg-type]
    assert len(next(blocks)) == 5
    assert asked == [slice(0, 5)]  # the second block waits until it is wanted
    assert [len(block) for block in blocks] == [5, 2]


def test_shared_embeddings_are_computed_once_a_model() -> None:
    shared, calls = mining.SharedEmbeddings(), []

    def compute(value: float) -> list[torch.Tensor]:
        calls.append(value)
        return [torch.full((1, 2), value)]

    for key, value in (("a", 1.0), ("a", 2.0), ("b", 3.0), ("a", 4.0)):
        found = shared.blocks(key, lambda value=value: iter(compute(value)))  # type: ignore[misc]
        assert found[0][0, 0].item() == calls[-1]
    assert calls == [1.0, 3.0, 4.0]


def test_progress_is_told_for_every_block_and_ends_once() -> None:
    told: list[tuple[str, int, int]] = []
    mining.mine(
        torch.split(unit_rows(10, 4, 0), 4),
        unit_rows(3, 4, 1),
        threshold=0.4,
        total=10,
        progress=lambda *call: told.append(call),
        what="w",
    )
    assert told == [("w", 4, 10), ("w", 8, 10), ("w", 10, 10)]
