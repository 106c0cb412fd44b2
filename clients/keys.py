"""Keys and certificates: of the coordinator's authority and server, and of a node. Private keys have mode 0600."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cranpm.errors import CranpmError
from cranpm.folders import write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import GeneralName

AUTHORITY, SERVER = "ca", "server"
YEARS = 3
NODE_KEY = "node.key"


def make_certificates(folder: Path, hosts: list[str]) -> None:
    """An authority of one's own, and the server's certificate for some host names and addresses.

    Args:
        folder: gets ca.key, ca.crt, server.key, server.crt.
        hosts: what agencies will call the server; localhost and 127.0.0.1 are added for the gateway.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = dt.datetime.now(dt.UTC)
    lasts = (now - dt.timedelta(minutes=5), now + dt.timedelta(days=365 * YEARS))

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
        made = made.issuer_name(named("cranpm federation authority")).serial_number(x509.random_serial_number())
        return made.not_valid_before(lasts[0]).not_valid_after(lasts[1])

    keys = {name: ec.generate_private_key(ec.SECP384R1()) for name in (AUTHORITY, SERVER)}
    usage = dict.fromkeys(("content_commitment", "data_encipherment", "key_agreement", "encipher_only"), False)
    usage |= {"decipher_only": False, "key_encipherment": False}
    own = builder(named("cranpm federation authority"), keys[AUTHORITY])
    own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    own = own.add_extension(
        x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **usage), critical=True
    )
    own = own.add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[AUTHORITY].public_key()), critical=False)
    names: list[GeneralName] = [_host(host) for host in dict.fromkeys((*hosts, "localhost", "127.0.0.1"))]
    server = builder(named(hosts[0]), keys[SERVER])
    server = server.add_extension(x509.SubjectAlternativeName(names), critical=False)
    server = server.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    server = server.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[AUTHORITY].public_key()), critical=False
    )
    for name, made in ((AUTHORITY, own), (SERVER, server)):
        certificate = made.sign(keys[AUTHORITY], hashes.SHA384())
        write_whole(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))
        plain = keys[name].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(folder / f"{name}.key", plain)


def make_node_key(folder: Path) -> Path:
    """A node's key in OpenSSH's format, which is what Flower reads; it never leaves this folder.

    Returns:
        The public half, which goes to the coordinator.

    Raises:
        CranpmError: there is a key already.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if (folder / NODE_KEY).exists():
        raise CranpmError(f"{folder / NODE_KEY}: there already; send the coordinator {NODE_KEY}.pub beside it")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    key = ec.generate_private_key(ec.SECP384R1())
    write_private(
        folder / NODE_KEY,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ),
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    write_whole(folder / f"{NODE_KEY}.pub", public + b"\n")
    return folder / f"{NODE_KEY}.pub"


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on.

    Raises:
        CranpmError: there is such a file already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CranpmError(f"{path}: there already; a key is never written over") from error
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)


def check_private(path: Path) -> None:
    """Refuse a key that others on the machine can read.

    Raises:
        CranpmError: it is not there, or its mode is too wide.
    """
    if not path.is_file():
        raise CranpmError(f"{path}: no key there; make one with `cranpm federate request`")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise CranpmError(f"{path}: mode {mode:04o}, 0600 is expected: chmod 600 {path}")


def _host(host: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)
