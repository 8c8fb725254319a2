"""Sealing bytes with a key: AES-256-GCM, and sub-keys so that no key serves two purposes.

``seal(key, plain, bound)`` gives a random nonce of 96 bits and then the ciphertext with its tag of 128 bits.
``bound`` is not in it, but must be the same at :func:`unseal`: what a file claims about itself goes there.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedfr_edge.recognition.keys import KEY_BYTES

NONCE_BYTES = 12
OVERHEAD = NONCE_BYTES + 16
"""How much longer a sealed text is."""

CIPHER = "AES-256-GCM"
"""The name of the algorithm in headers."""


class BrokenSealError(Exception):
    """Not sealed with this key and these bound bytes; the caller knows what that means."""


def seal(key: bytes, plain: bytes, bound: bytes) -> bytes:
    """Encrypt and authenticate; see above."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def unseal(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """The plain text again.

    Raises:
        BrokenSealError: a bit of ``sealed`` or ``bound`` is another, or the key is.
    """
    if len(sealed) < OVERHEAD:
        raise BrokenSealError
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except InvalidTag as error:
        raise BrokenSealError from error


def subkey(key: bytes, purpose: str) -> bytes:
    """A key for one purpose: HKDF-SHA256 (RFC 5869) without salt, ``fedfr-edge gallery PURPOSE`` as info."""
    info = b"fedfr-edge gallery " + purpose.encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)
