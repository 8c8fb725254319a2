"""Certificates and keys looked at before Flower is, whose own errors name no file."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedfr_edge.errors import ConfigError

_SOON = datetime.timedelta(days=30)
_HOW = "docs/deploy.md shows how to make it"


def check_certificate(path: Path, host: str | None = None) -> str | None:
    """Check a certificate (PEM).

    Args:
        path: the file.
        host: a name or address that it must be made out to; None for an authority's.

    Returns:
        a remark, if it runs out within 30 days.

    Raises:
        ConfigError: unreadable, out of date, or made out to others.
    """
    try:
        certificate = x509.load_pem_x509_certificate(_read(path))
    except ValueError as error:
        raise ConfigError(f"{path} is no certificate in PEM form; {_HOW}") from error
    now = datetime.datetime.now(datetime.UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise ConfigError(
            f"{path} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}, not now; make a new one, or set the clock"
        )
    if host is not None:
        names = _names(certificate)
        if host not in names:
            raise ConfigError(
                f"{path} is made out to {', '.join(names) or 'nobody'}, expected {host} among them "
                f"(subjectAltName); {_HOW}"
            )
    if now + _SOON > certificate.not_valid_after_utc:
        return f"{path} runs out on {certificate.not_valid_after_utc:%Y-%m-%d}"
    return None


def check_pair(certificate: Path, key: Path) -> None:
    """Check that a certificate and a private key belong together.

    Raises:
        ConfigError: unreadable, or they do not.
    """
    try:
        private = serialization.load_pem_private_key(_read(key), password=None)
        public = x509.load_pem_x509_certificate(_read(certificate)).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{key} is no private key in PEM form without a password; {_HOW}") from error
    if _raw(private.public_key()) != _raw(public):
        raise ConfigError(f"{key} does not belong to {certificate}; give the key that it was made with")


def check_node_key(path: Path) -> None:
    """Check a node's private key.

    Raises:
        ConfigError: unreadable, with a password, or not on curve P-384.
    """
    try:
        key = serialization.load_ssh_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no OpenSSH private key without a password; {_HOW}") from error
    _check_curve(path, key)


def check_node_public_key(path: Path) -> bytes:
    """Check a node's public key.

    Returns:
        the key itself, without the file's comment: equal keys are equal bytes.

    Raises:
        ConfigError: unreadable, or not on curve P-384.
    """
    try:
        key = serialization.load_ssh_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no OpenSSH public key; {_HOW}") from error
    _check_curve(path, key)
    return _raw(key)


def _check_curve(path: Path, key: object) -> None:
    curve = getattr(key, "curve", None)
    if not isinstance(curve, ec.SECP384R1):
        found = curve.name if isinstance(curve, ec.EllipticCurve) else type(key).__name__.lstrip("_")
        raise ConfigError(f"{path} is a key of kind {found}, expected curve P-384; {_HOW}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; {_HOW}") from error


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = found.get_values_for_type(x509.IPAddress)
    return [
        *found.get_values_for_type(x509.DNSName),
        *(str(item) for item in addresses if isinstance(item, ipaddress.IPv4Address | ipaddress.IPv6Address)),
    ]


def _raw(key: object) -> bytes:
    assert hasattr(key, "public_bytes")
    return bytes(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
