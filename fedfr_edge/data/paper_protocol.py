"""The paper's split: 6,000 public identities, 4,000 shared out over clients, 60 and 40 images of each.

Liu et al., AAAI 2022, section 4: 10,000 identities of MS-Celeb-1M; in most tables 40 clients with 100
identities each.
"""

from __future__ import annotations

import math

import numpy as np

from fedfr_edge.data.split import Split, make_split
from fedfr_edge.data.store import FaceStore
from fedfr_edge.errors import SplitError

PUBLIC = 6_000
LOCAL = 4_000
"""Client identities, over all clients."""
CLIENTS = 40
TRAIN_IMAGES, TEST_IMAGES = 60, 40


def paper_split(
    store: FaceStore,
    *,
    public: int | None = None,
    clients: int | None = None,
    per_client: int | None = None,
    train_images: int = TRAIN_IMAGES,
    test_images: int = TEST_IMAGES,
    seed: int = 0,
) -> Split:
    """Draw the paper's split of ``store``, or a smaller one of its kind.

    Clients' identities are drawn from those with enough images, the public ones from all others, by
    :func:`fedfr_edge.data.split.make_split`.

    Args:
        store: what to divide.
        public: public identities, 6,000 by default.
        clients: number of clients, 40 by default.
        per_client: identities of each; by default 4,000 over the clients (100 each for 40).
        train_images: training images of each client identity.
        test_images: test images of each client identity.
        seed: another one draws another split.

    Raises:
        SplitError: the store is too small; the message says how many identities have enough images and
            which numbers would fit.
    """
    public = PUBLIC if public is None else public
    clients = CLIENTS if clients is None else clients
    if per_client is None and clients > 0:
        per_client, over = divmod(LOCAL, clients)
        if over or not per_client:
            raise SplitError(
                f"{LOCAL} client identities cannot be shared out evenly over {clients} clients; give "
                "--per-client, or another number of clients (the paper: 40)"
            )
    if min(public + 1, clients, per_client or 0, train_images, test_images) >= 1:
        _check_size(store, public, clients, per_client or 0, train_images, test_images)
    return make_split(
        store,
        public=public,
        clients=clients,
        per_client=per_client,
        train_images=train_images,
        test_images=test_images,
        seed=seed,
    )


def fitting(identities: int, able: int) -> tuple[int, int, int] | None:
    """``(public, clients, per client)`` in about the paper's proportions that a store carries.

    Args:
        identities: all of the store.
        able: those with enough images for a client.

    Returns:
        None where not even one client with one identity and a public one are there.
    """
    local = min(able, LOCAL, identities * LOCAL // (PUBLIC + LOCAL))
    if local < 1:
        return (1, 1, 1) if able and identities > 1 else None
    each = max(1, math.isqrt(local * LOCAL // CLIENTS // CLIENTS))  # as many per client as 100 to 40 clients
    clients = local // each
    return min(PUBLIC, identities - clients * each, clients * each * PUBLIC // LOCAL), clients, each


def _check_size(store: FaceStore, public: int, clients: int, each: int, train: int, test: int) -> None:
    images = np.bincount(store.labels, minlength=len(store.identities))
    identities, need = len(images), train + test
    able = int(np.count_nonzero(images >= need))
    if able >= clients * each and identities >= public + clients * each:
        return
    numbers = fitting(identities, able)
    if numbers is None:
        advice = f"most images of one: {images.max()}; ask for fewer with --train-images and --test-images"
    else:
        advice = "what would fit: --public {} --clients {} --per-client {}".format(*numbers)
    raise SplitError(
        f"{public} public and {clients} × {each} client identities with {train}+{test} images are wanted; "
        f"{store.path} has {identities} identities, {able} of them with {need} images or more; {advice}"
    )
