"""An adapter is a folder: peft's `adapter_config.json` and `adapter_model.safetensors`, and `cranpm.json`.

`cranpm.json` says on which base and region the adapter works, where it comes from, and the SHA-256 of each file beside
it: of `baselines.nc` too, what was fitted on the local days, where the base reads the past. Reading and checking need
neither torch nor peft; nothing is ever unpickled. The hash of an adapter is that of its tensors' file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cranpm.data.days import parse_days
from cranpm.errors import CranpmError
from cranpm.folders import write_whole
from cranpm.model.adapter_tensors import CONFIG, WEIGHTS, adapter_tensors, check_pairs, lora_of
from cranpm.model.checkpoint import file_hash
from cranpm.model.manifest_values import a_sha256, a_text, a_truth, is_number, is_whole, json_object, some_names

if TYPE_CHECKING:
    from cranpm.model.checkpoint import Checkpoint

SCHEMA_VERSION = 1
MANIFEST, BASELINES = "cranpm.json", "baselines.nc"
LICENCE = "Apache-2.0"
_KEYS = {"schema_version", "region", "simulated", "base", "channels", "maps", "leads", "days", "detail", "scores"}
_KEYS |= {"licence", "provenance", "files"}


@dataclass(frozen=True)
class Adapter:
    """What is known about an adapter before it is put on.

    Attributes:
        name: the folder's name.
        base: name of the checkpoint that it was trained on.
        base_hash: SHA-256 of that checkpoint's weights, hexadecimal; empty for random weights, of which the name
            tells all.
        region: the pack it was trained on.
        channels, maps: the inputs of the base, in its order.
        leads: leads in days it was trained for.
        days: the local period: all days that examples of "train" and, where some were held out, of "validate" read or
            are to forecast, as `cranpm.data.days.format_days` writes them.
        simulated: whether these days are of the sample world.
        scores: what it reached on the days held out.
        licence: of the tensors.
        provenance: how it was made: command, recipe, seed, versions.
        detail: by lead, the share of today's detail that forecasts take over; replaces the base's.
        hash: SHA-256 of the tensors' file; empty before it is written.
        folder: where the files lie; None before they are written.
    """

    name: str
    base: str
    base_hash: str
    region: str
    channels: tuple[str, ...]
    maps: tuple[str, ...]
    leads: tuple[int, ...]
    days: Mapping[str, str]
    simulated: bool = False
    scores: Mapping[str, Any] = field(default_factory=dict)
    licence: str = LICENCE
    provenance: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[int, float] = field(default_factory=dict)
    hash: str = ""
    folder: Path | None = None

    @property
    def trained_on(self) -> str:
        """Where it was trained, and from which day to which, in words."""
        return f"{'simulated ' if self.simulated else ''}{self.region}, {min(self.seen)}..{max(self.seen)}"

    @property
    def seen(self) -> set[date]:
        """All days of the local period."""
        return {day for text in self.days.values() for day in parse_days(text)}

    @property
    def home(self) -> Path:
        """The folder of an adapter that was read."""
        if self.folder is None:
            raise CranpmError(f"adapter '{self.name}' was not written yet: write it, then read_adapter")
        return self.folder

    @property
    def baselines(self) -> Path | None:
        """What was fitted on the local days, where the adapter brings it."""
        path = None if self.folder is None else self.folder / BASELINES
        return path if path is not None and path.is_file() else None


def read_adapter(folder: str | Path) -> Adapter:
    """Open an adapter folder, without torch and without peft.

    Raises:
        CranpmError: it is not an adapter folder, was written by another version, was altered, is of a kind that
            cannot be merged, or holds tensors that are unpaired or not finite.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    try:
        adapter = _from_manifest(folder, manifest)
    except (AttributeError, CranpmError, TypeError, ValueError) as error:
        raise CranpmError(f"{folder / MANIFEST}: {error}; copy the adapter again") from error
    _check_files(folder, manifest["files"])
    lora_of(adapter)
    check_pairs(folder / WEIGHTS, adapter_tensors(adapter))
    return adapter


def write_manifest(folder: str | Path, adapter: Adapter) -> str:
    """Write `cranpm.json` beside what peft wrote, and beside `baselines.nc` where there is one: as the last file.

    Args:
        folder: where peft's two files are.
        adapter: what to say about them; `name`, `hash` and `folder` are ignored.

    Returns:
        The hash of the adapter.

    Raises:
        CranpmError: a file of peft's is missing, or `read_adapter` would refuse what is said.
    """
    folder = Path(folder)
    if missing := [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]:
        raise CranpmError(f"{folder}: {' and '.join(missing)} missing; save the peft model there first")
    (folder / WEIGHTS).chmod(0o644)  # safetensors leaves it readable for its owner alone
    files = {name: file_hash(folder / name) for name in (CONFIG, WEIGHTS, BASELINES) if (folder / name).is_file()}
    manifest = _to_manifest(adapter, files)
    _from_manifest(folder, json.loads(json.dumps(manifest)))
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(folder / MANIFEST, f"{text}\n".encode())
    return files[WEIGHTS]


def merged_inside(manifest: Mapping[str, Any]) -> Adapter:
    """The adapter whose `cranpm.json`, and its name, a bundle keeps because it is merged into the bundle's weights.

    Raises:
        CranpmError: it is not what `cranpm.json` holds.
    """
    said = {key: value for key, value in manifest.items() if key != "name"}
    adapter = _from_manifest(Path("adapter"), said)
    return replace(adapter, name=a_text("name", manifest.get("name")), folder=None)


def check_base(adapter: Adapter, checkpoint: Checkpoint) -> None:
    """Refuse a base other than the one that the adapter was trained on.

    Raises:
        CranpmError: other weights, another channel list or another list of maps; both sides are named.
    """
    config = checkpoint.config
    for part, wanted, found in (
        ("coarse channels", adapter.channels, config.channels),
        ("maps", adapter.maps, config.maps),
    ):
        if wanted != found:
            raise CranpmError(
                f"adapter '{adapter.name}' reads {len(wanted)} {part} {_difference(wanted, found)}, "
                f"the base '{checkpoint.name}' reads {len(found)} {_difference(found, wanted)}; "
                f"its base is '{adapter.base}', or train an adapter on '{checkpoint.name}'"
            )
    if adapter.base_hash != checkpoint.hash or (not checkpoint.hash and adapter.base != checkpoint.name):
        raise CranpmError(
            f"adapter '{adapter.name}' was trained on '{adapter.base}' ({_shown(adapter.base_hash)}), "
            f"this base is '{checkpoint.name}' ({_shown(checkpoint.hash)}): "
            f"name that base with --model, or train an adapter on this one"
        )
    if unknown := [lead for lead in adapter.leads if lead not in config.leads]:
        raise CranpmError(
            f"adapter '{adapter.name}' says lead {unknown[0]}, the base '{checkpoint.name}' knows leads "
            f"{', '.join(map(str, config.leads))}; copy the adapter again"
        )


def check_region(adapter: Adapter, pack_name: str) -> None:
    """Refuse a pack other than the one that the adapter was trained on.

    Raises:
        CranpmError: both packs are named.
    """
    if adapter.region != pack_name:
        raise CranpmError(
            f"adapter '{adapter.name}' was trained on pack '{adapter.region}', asked for is '{pack_name}': "
            f"leave --adapter out, or train one with: cranpm adapt {pack_name} --data STORE"
        )


def _manifest(folder: Path) -> dict[str, Any]:
    if folder.is_file():
        raise CranpmError(f"{folder}: a file, but an adapter is a folder with {CONFIG}, {WEIGHTS} and {MANIFEST}")
    if not folder.is_dir():
        raise CranpmError(f"{folder}: no such adapter; make one with: cranpm adapt REGION --data STORE --out {folder}")
    if missing := [name for name in (MANIFEST, CONFIG, WEIGHTS) if not (folder / name).is_file()]:
        raise CranpmError(f"{folder}: not an adapter folder: {' and '.join(missing)} missing")
    manifest = json_object(folder / MANIFEST)
    if (version := manifest.get("schema_version")) != SCHEMA_VERSION:
        raise CranpmError(
            f"{folder / MANIFEST}: schema_version {version}, this cranpm reads {SCHEMA_VERSION}; "
            "use the cranpm that wrote it, or train the adapter again"
        )
    return manifest


def _to_manifest(adapter: Adapter, files: Mapping[str, str]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "region": adapter.region,
        "simulated": adapter.simulated,
        "base": {"name": adapter.base, "sha256": adapter.base_hash},
        "days": dict(adapter.days),
        "leads": list(adapter.leads),
        "detail": {str(lead): share for lead, share in adapter.detail.items()},
        "scores": dict(adapter.scores),
        "licence": adapter.licence,
        "provenance": dict(adapter.provenance),
        "channels": list(adapter.channels),
        "maps": list(adapter.maps),
        "files": dict(files),
    }


def _from_manifest(folder: Path, manifest: Mapping[str, Any]) -> Adapter:
    """The adapter that a manifest describes.

    Raises:
        CranpmError: a key is missing or unknown, or a value is not of its kind; without the file's name.
    """
    missing, unknown = sorted(_KEYS - manifest.keys()), sorted(manifest.keys() - _KEYS)
    if missing or unknown:
        raise CranpmError(f"keys missing: {', '.join(missing) or 'none'}; not known: {', '.join(unknown) or 'none'}")
    base, files = manifest["base"], manifest["files"]
    adapter = Adapter(
        name=folder.resolve().name,
        base=a_text("base.name", base.get("name")),
        base_hash="" if base.get("sha256") == "" else a_sha256("base.sha256", base.get("sha256")),
        region=a_text("region", manifest["region"]),
        channels=some_names("channels", manifest["channels"]),
        maps=some_names("maps", manifest["maps"]),
        leads=_leads(manifest["leads"]),
        days=_days(manifest["days"]),
        simulated=a_truth("simulated", manifest["simulated"]),
        scores=dict(manifest["scores"]),
        licence=a_text("licence", manifest["licence"]),
        provenance=dict(manifest["provenance"]),
        detail={int(lead): share for lead, share in manifest["detail"].items()},
    )
    for lead, share in adapter.detail.items():
        if not (is_number(share) and 0 <= share <= 1):
            raise CranpmError(f"detail of lead {lead}: {share!r}, a share of 0 to 1 is expected")
    if wrong := sorted((files.keys() - {BASELINES}) ^ {CONFIG, WEIGHTS}):
        raise CranpmError(f"files: '{wrong[0]}'; {CONFIG}, {WEIGHTS} and perhaps {BASELINES} are expected")
    for name, digest in files.items():
        a_sha256(f"files.{name}", digest)
    return replace(adapter, hash=files[WEIGHTS], folder=folder)


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Every file as it was when the manifest was written."""
    for name, digest in files.items():
        if not (folder / name).is_file():
            raise CranpmError(f"{folder}: {name} missing, which {MANIFEST} names; copy the adapter again")
        if (found := file_hash(folder / name)) != digest:
            raise CranpmError(
                f"{folder / name}: SHA-256 {found[:12]}…, but {MANIFEST} expects {digest[:12]}…: "
                "the file is damaged or belongs to another adapter; copy the adapter again"
            )
    if BASELINES not in files and (folder / BASELINES).exists():
        raise CranpmError(f"{folder / BASELINES}: not named in {MANIFEST}; copy the adapter again, or remove it")


def _shown(digest: str) -> str:
    return f"{digest[:12]}…" if digest else "random weights"


def _leads(values: object) -> tuple[int, ...]:
    if not (isinstance(values, list) and values and all(is_whole(value) and value > 0 for value in values)):
        raise CranpmError(f"leads: {values!r}, a list of whole days ahead is expected")
    return tuple(values)


def _days(values: Mapping[str, str]) -> dict[str, str]:
    """The local period; each text must be days."""
    if not {"train"} <= values.keys() <= {"train", "validate"}:
        raise CranpmError(f"days: {', '.join(values) or 'nothing'}; 'train' and perhaps 'validate' are expected")
    for text in values.values():
        parse_days(text)
    return dict(values)


def _difference(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    """What a list of names has that another has not, in words."""
    if own := [name for name in one if name not in other]:
        return f"with '{own[0]}'"
    if lost := [name for name in other if name not in one]:
        return f"without '{lost[0]}'"
    first = next((mine for mine, theirs in zip(one, other, strict=False) if mine != theirs), one[-1])
    return f"in another order, from '{first}' on"
