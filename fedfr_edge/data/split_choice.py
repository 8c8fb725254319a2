"""How a split is drawn: which identities go where, and which images train or test.

Nothing is drawn from a random generator: names are put in the order of a hash keyed by the seed.
That order is the same on every machine and for every NumPy, does not depend on the order of rows,
and one identity's images are divided alike whoever else is in the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from fedfr_edge.errors import SplitError


@dataclass(frozen=True)
class Quota:
    """How many images of a client identity train and test.

    Attributes:
        train: training images.
        test: test images.
        allow_fewer: accept identities with fewer images, two at least, divided in proportion.
    """

    train: int
    test: int
    allow_fewer: bool

    @property
    def least(self) -> int:
        """Images that an identity must have to be a client's."""
        return 2 if self.allow_fewer else self.train + self.test

    def of(self, images: int) -> tuple[int, int]:
        """``(training, test)`` images for an identity that has ``images`` (at least :attr:`least`)."""
        if images >= self.train + self.test:
            return self.train, self.test
        train = round(images * self.train / (self.train + self.test))
        train = min(max(train, 1), images - 1)
        return train, images - train


def shuffled(names: Iterable[str], seed: int, purpose: str) -> list[str]:
    """``names`` in an order that only ``seed``, ``purpose`` and the names themselves decide."""

    def key(name: str) -> tuple[bytes, str]:
        return hashlib.sha256("\0".join((str(seed), purpose, name)).encode()).digest(), name

    return sorted(names, key=key)


def choose_images(
    names: Collection[str], identity: str, quota: Quota, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``(training, test)`` names of one client identity, each sorted."""
    train, test = quota.of(len(names))
    drawn = shuffled(names, seed, f"images of {identity}")
    return tuple(sorted(drawn[:train])), tuple(sorted(drawn[train : train + test]))


def choose_identities(
    images: Mapping[str, int],
    *,
    public: int,
    clients: int,
    per_client: int | None,
    quota: Quota,
    seed: int,
    public_only: tuple[str, ...] | None,
    clients_only: tuple[str, ...] | None,
) -> tuple[list[str], list[list[str]]]:
    """Choose ``(public identities, identities of each client)``.

    Clients are served first, since identities with few images can only be public.

    Args:
        images: identity -> number of its images.
        public, clients, per_client, seed: see :func:`fedfr_edge.data.split.make_split`.
        quota: what a client identity needs.
        public_only: exactly these are public.
        clients_only: client identities come from these.

    Raises:
        SplitError: it cannot be done; the message says with which numbers.
    """
    _check_lists(images, public, public_only, clients_only)
    candidates = images.keys() - set(public_only or ()) if clients_only is None else set(clients_only)
    able = [identity for identity in candidates if images[identity] >= quota.least]
    least = clients * (per_client or 1)
    if len(able) < least:
        raise SplitError(_too_few(images, candidates, able, clients, per_client, quota))
    if per_client is not None:
        wanted = least
    elif public_only is not None or clients_only is not None:
        wanted = len(able)
    else:
        wanted = max(least, min(len(able), len(images) - public))
    drawn = shuffled(able, seed, "client identities")[:wanted]
    if public_only is not None:
        chosen = list(public_only)
    else:
        left = images.keys() - set(drawn) - set(clients_only or ())
        if len(left) < public:
            raise SplitError(
                f"{public} public and {wanted} client identities are wanted, the store has {len(images)}"
                + (f", {len(clients_only)} of them reserved for clients" if clients_only else "")
                + "; ask for fewer"
            )
        chosen = shuffled(left, seed, "public identities")[:public]
    return chosen, [drawn[number::clients] for number in range(clients)]


def _check_lists(
    images: Mapping[str, int],
    public: int,
    public_only: tuple[str, ...] | None,
    clients_only: tuple[str, ...] | None,
) -> None:
    for what, names in (("public", public_only), ("client", clients_only)):
        if names is None:
            continue
        if len(set(names)) != len(names):
            raise SplitError(f"the list of {what} identities names one of them twice; list each once")
        foreign = sorted(set(names) - images.keys())
        if foreign:
            raise SplitError(
                f"{len(foreign)} of {len(names)} {what} identities are not in the store, first "
                f"{foreign[0]!r}; correct the list"
            )
    if public_only is not None and public != len(public_only):
        raise SplitError(
            f"{public} public identities are wanted, the list names {len(public_only)}; make them agree"
        )
    both = sorted(set(public_only or ()) & set(clients_only or ()))
    if both:
        raise SplitError(
            f"{len(both)} identities are on both lists, public and client, first {both[0]!r}; "
            "remove them from one"
        )


def _too_few(
    images: Mapping[str, int],
    candidates: Collection[str],
    able: Collection[str],
    clients: int,
    per_client: int | None,
    quota: Quota,
) -> str:
    each = "at least one identity each" if per_client is None else f"{per_client} identities each"
    most = max((images[identity] for identity in candidates), default=0)
    need = f"{quota.least} images" if quota.allow_fewer else f"{quota.train}+{quota.test} images"
    advice = "ask for fewer clients or identities"
    if not quota.allow_fewer:
        advice += ", fewer images, or allow identities with fewer"
    return (
        f"{clients} clients with {each} are wanted; {len(able)} of {len(candidates)} identities that may "
        f"be clients' have the {need} that one needs (most: {most}); {advice}"
    )
