"""Ed25519 signatures of bundles: who made one, beside what is in it. Keys are PEM files, as openssl makes them."""

from __future__ import annotations

import json
from pathlib import Path

from cranpm.errors import CranpmError

_PURPOSE = b"cranpm bundle 1\n"  # so that a signature made for another purpose does not count here
_MAKE = (
    "make a pair with: openssl genpkey -algorithm ed25519 -out site.key "
    "&& openssl pkey -in site.key -pubout -out site.pub"
)


def sign(manifest: bytes, private: Path) -> bytes:
    """The signature of a manifest, as the bundle holds it.

    Args:
        manifest: the bytes of the manifest, which holds the SHA-256 of every file.
        private: an Ed25519 private key, PEM without a password.

    Raises:
        CranpmError: not such a key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CranpmError(f"{private}: not a private key without a password ({error}); {_MAKE}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise CranpmError(f"{private}: a key of another kind, Ed25519 is expected; {_MAKE}")
    said = {"public_key": key.public_key().public_bytes_raw().hex(), "signature": key.sign(_PURPOSE + manifest).hex()}
    return json.dumps(said, indent=1).encode() + b"\n"


def signed_by(signature: bytes, manifest: bytes, path: Path) -> str:
    """The public key of a signature that holds, hexadecimal.

    Raises:
        CranpmError: it does not hold.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        said = json.loads(signature)
        key, mark = bytes.fromhex(said["public_key"]), bytes.fromhex(said["signature"])
        Ed25519PublicKey.from_public_bytes(key).verify(mark, _PURPOSE + manifest)
    except (ValueError, KeyError, TypeError, RecursionError, InvalidSignature) as error:
        reason = "its signature does not hold: altered, or signed by another hand"
        raise CranpmError(f"{path}: {reason}; ask its maker") from error
    return key.hex()


def public_key(path: Path) -> str:
    """An Ed25519 public key from a PEM file, hexadecimal.

    Raises:
        CranpmError: not such a key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CranpmError(f"{path}: not a public key in PEM form ({error}); {_MAKE}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise CranpmError(f"{path}: a key of another kind, Ed25519 is expected; {_MAKE}")
    return key.public_bytes_raw().hex()
