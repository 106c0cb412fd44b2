"""A bundle: one file with all that a forecast needs but the day's data. Read without torch and without onnx.

Opening checks everything before anything is used: the container's layout, the SHA-256 of every file against the
manifest, the signature where there is one, and that the graphs hold arithmetic only and take their weights from the
bundle and nowhere else. What is read later is hashed again as it is read.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from cranpm.errors import CranpmError
from cranpm.forecast.container import Member, read_members, write_container
from cranpm.forecast.graph import read_graph
from cranpm.forecast.signature import public_key, sign, signed_by
from cranpm.forecast.tensors import Place, read_tensors, tensor_places
from cranpm.model.adapter import merged_inside
from cranpm.model.checkpoint import Checkpoint, from_manifest
from cranpm.model.registry import find_bundle

SCHEMA_VERSION = 1
MANIFEST, SIGNATURE = "manifest.json", "signature.json"
TILE_GRAPH, DAY, TILE = "tile.onnx", "day", "tile"
PRECISIONS = ("fp32", "fp16", "int8")
_KEYS = {"schema_version", "name", "precision", "checkpoint", "random_weights", "adapter", "held", "days", "weights"}
_KEYS |= {"packs", "parity", "loss", "created", "cranpm", "files"}
_JSON_LIMIT = 4_000_000  # bytes
_BLOCK = 1 << 20
_AGAIN = "copy the bundle again"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        path: the file.
        manifest: what it says of itself.
        checkpoint: the network that was exported; its weights are not there as a checkpoint.
        hash: SHA-256 of the manifest, and so of everything.
        key: the public key that signed it, hexadecimal; empty without a signature.
        members: where each file lies.
    """

    path: Path
    manifest: Mapping[str, Any]
    checkpoint: Checkpoint
    hash: str
    key: str
    members: Mapping[str, Member]

    @property
    def precision(self) -> str:
        """fp32, fp16 or int8."""
        return str(self.manifest["precision"])

    @property
    def days(self) -> dict[tuple[int, int], str]:
        """The day's graph for each coarse window (rows, columns)."""
        return {_window(text): name for text, name in self.manifest["days"].items()}

    @property
    def held(self) -> tuple[str, ...]:
        """What the day leaves for its tiles, by name."""
        return tuple(self.manifest["held"])

    def read(self, name: str) -> bytes:
        """A file of the bundle.

        Raises:
            CranpmError: it changed since the bundle was opened.
        """
        with self.path.open("rb") as stream:
            content = self.members[name].read(stream)
        self._check(name, hashlib.sha256(content).hexdigest())
        return content

    def weights(self, part: str) -> dict[str, NDArray[Any]]:
        """The tensors of a graph that lie beside it, by their names in the checkpoint; part is "day" or "tile".

        Raises:
            CranpmError: they changed since the bundle was opened.
        """
        name = self.manifest["weights"].get(part)
        return {} if name is None else self.tensors(name)

    def tensors(self, name: str) -> dict[str, NDArray[Any]]:
        """The tensors of a safetensors file of the bundle.

        Raises:
            CranpmError: it changed since the bundle was opened.
        """
        member = self.members[name]
        with self.path.open("rb") as stream:
            tensors, digest = read_tensors(stream, member.start, member.size, name)
        self._check(name, digest)
        return tensors

    def places(self, part: str) -> dict[str, Place]:
        """Where in their file these tensors lie."""
        name = self.manifest["weights"].get(part)
        if name is None:
            return {}
        member = self.members[name]
        with self.path.open("rb") as stream:
            return tensor_places(stream, member.start, member.size, name)

    def _check(self, name: str, digest: str) -> None:
        if digest != self.manifest["files"][name]["sha256"]:
            raise CranpmError(f"{self.path}: '{name}' changed after the bundle was opened; open it again")


def open_bundle(path: str | Path, *, key: str | Path | None = None) -> Bundle:
    """Open a bundle and check it through.

    Args:
        path: the file, or the name of a network that ships with a bundle.
        key: a public key (PEM) that must have signed it; None accepts unsigned bundles, but no wrong signature.

    Raises:
        CranpmError: it is not a bundle, was altered, is not signed by the key, or holds what no bundle should.
    """
    path = find_bundle(path)
    wanted = None if key is None else public_key(Path(key))
    if not path.is_file():
        raise CranpmError(f"{path}: no such bundle; make one with: cranpm export MODEL --out {path.name}")
    with path.open("rb") as stream:
        members = {member.name: member for member in read_members(stream, path)}
        raw = _small(stream, path, members, MANIFEST)
        manifest = _manifest(path, raw)
        signature = _small(stream, path, members, SIGNATURE) if SIGNATURE in members else None
        signer = "" if signature is None else signed_by(signature, raw, path)
        if wanted is not None and signer != wanted:
            found = f"by the key {signer[:16]}…" if signer else "by nobody"
            raise CranpmError(f"{path}: signed {found}, {key} is {wanted[:16]}…; ask for the bundle of that origin")
        _check_files(stream, path, members, manifest["files"])
    try:
        source = None if manifest["random_weights"] else path
        checkpoint = from_manifest(manifest["checkpoint"], name=manifest["name"], folder=source)
        bundle = Bundle(path, manifest, checkpoint, hashlib.sha256(raw).hexdigest(), signer, members)
        _check_links(bundle)
        _check_graphs(bundle)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CranpmError(f"{path}: {MANIFEST} is not as cranpm export writes it ({error!r}); {_AGAIN}") from error
    except CranpmError as error:
        raise CranpmError(f"{path}: {error}") from error
    return bundle


def sign_bundle(bundle: Bundle, private: Path, path: Path) -> Bundle:
    """Write a bundle with a signature, in the place of one that is there.

    Args:
        bundle: what is signed.
        private: an Ed25519 private key, PEM.
        path: the file to write; it may be the bundle's own.

    Raises:
        CranpmError: not such a key, or the bundle changed since it was opened.
    """
    raw = _again(bundle)
    names = [name for name in bundle.members if name not in (MANIFEST, SIGNATURE)]
    files = {name: bundle.read(name) for name in names}
    write_container(path, {MANIFEST: raw, SIGNATURE: sign(raw, private), **files})
    return open_bundle(path)


def _again(bundle: Bundle) -> bytes:
    """The manifest's bytes, as they were when the bundle was opened."""
    with bundle.path.open("rb") as stream:
        raw = bundle.members[MANIFEST].read(stream)
    if hashlib.sha256(raw).hexdigest() != bundle.hash:
        raise CranpmError(f"{bundle.path}: changed after it was opened; open it again")
    return raw


def _manifest(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CranpmError(f"{path}: {MANIFEST} is not valid JSON ({error}); {_AGAIN}") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise CranpmError(f"{path}: schema_version {version}, this cranpm reads {SCHEMA_VERSION}; export it again")
    if wrong := sorted(_KEYS ^ manifest.keys()):
        raise CranpmError(f"{path}: {MANIFEST}: key '{wrong[0]}' missing or not known; {_AGAIN}")
    if manifest["precision"] not in PRECISIONS or not isinstance(manifest["files"], dict):
        raise CranpmError(
            f"{path}: {MANIFEST}: precision {manifest['precision']!r} or its files are not known; {_AGAIN}"
        )
    return manifest


def _small(stream: BinaryIO, path: Path, members: Mapping[str, Member], name: str) -> bytes:
    if name not in members:
        raise CranpmError(f"{path}: no {name} in it: not a bundle; make one with: cranpm export MODEL --out BUNDLE")
    member = members[name]
    if member.size > _JSON_LIMIT:
        raise CranpmError(f"{path}: {name} has {member.size:,} bytes, at most {_JSON_LIMIT:,} are expected; {_AGAIN}")
    content = member.read(stream)
    if zlib.crc32(content) != member.crc:
        raise CranpmError(f"{path}: {name} is damaged: its checksum is not that of the container; {_AGAIN}")
    return content


def _check_files(
    stream: BinaryIO, path: Path, members: Mapping[str, Member], files: Mapping[str, Mapping[str, Any]]
) -> None:
    """Every file that the manifest names is there as it was, and no other."""
    if odd := sorted(files.keys() ^ (members.keys() - {MANIFEST, SIGNATURE})):
        where = "in the manifest, not in the bundle" if odd[0] in files else "in the bundle, not in the manifest"
        raise CranpmError(f"{path}: '{odd[0]}' is {where}; {_AGAIN}")
    for name, expected in files.items():
        digest, crc, left = hashlib.sha256(), 0, members[name].size
        stream.seek(members[name].start)
        while left and (block := stream.read(min(left, _BLOCK))):
            digest.update(block)
            crc, left = zlib.crc32(block, crc), left - len(block)
        if not isinstance(expected, dict) or digest.hexdigest() != expected.get("sha256"):
            raise CranpmError(f"{path}: '{name}' is not what {MANIFEST} says (SHA-256 differs); {_AGAIN}")
        if crc != members[name].crc:
            raise CranpmError(f"{path}: '{name}': its checksum is not that of the container; {_AGAIN}")


def _check_links(bundle: Bundle) -> None:
    """What the manifest names is there, and an adapter inside is described as one."""
    manifest = bundle.manifest
    named = [TILE_GRAPH, *bundle.days.values(), *manifest["weights"].values()]
    named += [name for files in manifest["packs"].values() for name in (files["pack"], *files.values())]
    if absent := [name for name in named if name not in manifest["files"]]:
        raise CranpmError(f"{MANIFEST} names '{absent[0]}', which is not there; {_AGAIN}")
    if not bundle.days or not all(isinstance(name, str) for name in bundle.held):
        raise CranpmError(f"{MANIFEST}: no graph for any day, or nothing that a day leaves; {_AGAIN}")
    if manifest["adapter"] is not None:
        merged_inside(manifest["adapter"])


def _check_graphs(bundle: Bundle) -> None:
    """Graphs of arithmetic, whose weights lie in the file beside them, where and as they are said to."""
    for part, names in ((TILE, [TILE_GRAPH]), (DAY, list(bundle.days.values()))):
        beside = bundle.manifest["weights"].get(part)
        places = bundle.places(part)
        for name in names:
            for tensor in read_graph(bundle.read(name), name).external:
                here = places.get(tensor.name)
                said = dict(tensor.place)
                if here is None or len(said) != len(tensor.place):
                    raise CranpmError(f"{name}: tensor '{tensor.name}' lies outside the bundle; {_AGAIN}")
                if said != {"location": beside, "offset": str(here.start), "length": str(here.length)}:
                    raise CranpmError(f"{name}: tensor '{tensor.name}' is not where '{beside}' has it; {_AGAIN}")


def _window(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    return int(rows), int(columns)
