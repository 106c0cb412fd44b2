"""The networks of a comparison: the base as it is, adapters on it, and checkpoints that were fine-tuned as a whole."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cranpm.adapt.compare_baselines import digest, made_of
from cranpm.data.days import format_days, needed_days, parse_days, shown_days
from cranpm.errors import CranpmError
from cranpm.forecast.engine import Engine
from cranpm.forecast.inputs import WITHOUT_PAST
from cranpm.model.adapter import check_base, check_region, read_adapter
from cranpm.model.adapter_tensors import CONFIG
from cranpm.model.checkpoint import MANIFEST, Checkpoint, read_checkpoint
from cranpm.model.registry import load
from cranpm.verify.baselines import Fitted, read_fitted
from cranpm.verify.past import PastStore

if TYPE_CHECKING:
    from cranpm.model.adapter import Adapter

ZERO_SHOT, TRUTH = "zero-shot", "truth"
DEFAULT_BASE = "europe-sample"
Kind = Literal["zero-shot", "adapter", "full fine-tuning", "baseline", "truth"]


@dataclass(frozen=True, eq=False)
class Model:
    """A network that is compared.

    Attributes:
        name: of its rows.
        kind: the base as it is, with an adapter, or fine-tuned as a whole.
        engine: runs it; the adapters share that of the base.
        adapter: what the engine must wear; None for the others.
        period: the local days that it was trained and chosen on, all that these examples read among them.
        past: what was fitted on the place's past, for networks that read it.
    """

    name: str
    kind: Kind
    engine: Engine
    adapter: Adapter | None = None
    period: tuple[dt.date, ...] = ()
    past: Fitted | None = None

    def ready(self) -> Engine:
        """Its engine, wearing what belongs to it and nothing else."""
        wear = getattr(self.engine, "wear", None)
        if wear is not None:
            wear(self.adapter)
        return self.engine

    def made(self) -> str:
        """What its forecasts depend on beside the inputs, as a digest."""
        spec = self.ready().spec
        parts: list[Any] = [spec.hash or f"random {spec.name}", sorted(spec.detail.items())]
        if self.adapter is not None:
            parts += [self.adapter.hash, (self.adapter.home / CONFIG).read_text(encoding="utf-8")]
        parts.append(made_of(self.past) if spec.reads_past and self.past is not None else "")
        return f"model {digest(json.dumps(parts).encode())}"


def open_models(base: str | None, folders: Sequence[Path], region: str, device: str) -> tuple[list[Model], list[str]]:
    """The base first, then what was given in its order; and what a reader must know of them.

    Args:
        base: a registered model or a checkpoint folder; None for what the first of the folders names.
        folders: of adapters and of checkpoints that were fine-tuned from the base.
        region: name of the pack.
        device: "auto", "cpu" or "cuda".

    Raises:
        CranpmError: a folder is neither, or is of another base or pack.
    """
    from cranpm.forecast.load import load_engine

    opened = [_open(folder) for folder in folders]
    chosen = base or next((_base_of(part) for part in opened), DEFAULT_BASE)
    checkpoint = _load_base(chosen, base is None and bool(folders))
    for part in opened:
        if isinstance(part, Checkpoint):
            _check_full(part, checkpoint, region)
        else:
            check_region(part, region)
            check_base(part, checkpoint)
    engine = load_engine(chosen, False, device)
    models = [Model(ZERO_SHOT, "zero-shot", engine)]
    notes = []
    for folder, part in zip(folders, opened, strict=True):
        name = _unlike(part.name, {model.name for model in models} | {TRUTH})
        if isinstance(part, Checkpoint):
            period = _period(part.provenance.get("adapted", {}))
            models.append(Model(name, "full fine-tuning", load_engine(str(folder), False, device), period=period))
            if not period:
                notes.append(f"the checkpoint '{name}' does not say which local days it was trained on")
        else:
            models.append(Model(name, "adapter", engine, part, _period(part.days)))
    return models, notes


def scoring_days(
    models: Sequence[Model], candidates: Sequence[dt.date], asked: bool, leads: Sequence[int]
) -> tuple[dt.date, ...]:
    """The issue days that share no map with the days that a model was trained or chosen on.

    Args:
        models: with their local periods.
        candidates: issue days.
        asked: whether a person named them: then those that overlap are refused, not left out.
        leads: days ahead; a forecast reads the day before its issue day, and is scored up to the longest lead.

    Raises:
        CranpmError: days asked for overlap, or none is left.
    """
    whole = range(1, max(leads) + 1)
    apart = list(candidates)
    for model in models:
        seen = set(model.period)
        shared = {day for day in candidates if not seen.isdisjoint(needed_days([day], whole))}
        apart = [day for day in apart if day not in shared]
        if asked and shared:
            raise CranpmError(
                f"--days: {model.kind} '{model.name}' was trained and chosen on {shown_days(model.period)}, and "
                f"forecasts issued on {shown_days(shared)} read these days or are scored on them; leave them out: "
                f"--days {format_days(set(candidates) - shared) or 'of another period'}"
            )
    if not apart:
        raise CranpmError(
            f"no day to score on: all {len(candidates)} issue days of the store share maps with the days that "
            f"{', '.join(repr(model.name) for model in models if model.period)} were trained on; prepare further days"
        )
    return tuple(apart)


def give_pasts(
    models: Sequence[Model], known: Fitted | None, local: Fitted | None, store: PastStore
) -> tuple[list[Model], str]:
    """The models with what was fitted on the place's past, where they read it, and what a reader must know of that.

    Args:
        models: as they were opened.
        known: what was fitted on the pack's past; it serves all.
        local: what was fitted on local days. Without `known` an adapter reads what it brings itself, the others what
            the first adapter brings, and this stands in where none brings any.
        store: what is scored.
    """
    brought = {model: _brought(model, store) for model in models}
    spare = next((fitted for fitted in brought.values() if fitted is not None), local)
    given = []
    for model in models:
        past = (known or brought[model] or spare) if model.engine.spec.reads_past else None
        given.append(replace(model, past=past))
    readers = [model for model in given if model.engine.spec.reads_past]
    if not readers or known is not None:
        return given, ""
    if any(model.past is None for model in readers):
        return given, WITHOUT_PAST
    return given, "the models read a past that was fitted on the adapters' local days, the zero-shot model too"


def _brought(model: Model, store: PastStore) -> Fitted | None:
    """What an adapter brings of the past, where it serves the store."""
    if model.adapter is None or model.adapter.baselines is None:
        return None
    fitted = read_fitted(model.adapter.baselines)
    return fitted if (fitted.fine, fitted.coarse) == (store.fine, store.coarse) else None


def _open(folder: Path) -> Adapter | Checkpoint:
    return read_checkpoint(folder) if (folder / MANIFEST).is_file() else read_adapter(folder)


def _base_of(part: Adapter | Checkpoint) -> str:
    return str(part.provenance.get("base", DEFAULT_BASE)) if isinstance(part, Checkpoint) else part.base


def _load_base(name: str, named_by_adapter: bool) -> Checkpoint:
    try:
        return load(name)
    except CranpmError as error:
        if not named_by_adapter:
            raise
        raise CranpmError(f"the first of --adapters was trained on '{name}': {error}; name it with --base") from error


def _check_full(full: Checkpoint, base: Checkpoint, region: str) -> None:
    began, adapted = full.provenance.get("base_hash"), full.provenance.get("adapted", {})
    if began and began != base.hash:
        raise CranpmError(
            f"checkpoint '{full.name}' was fine-tuned from '{_base_of(full)}' ({str(began)[:12]}…), the base here is "
            f"'{base.name}' ({base.hash[:12]}…): name the one that it began from with --base"
        )
    if adapted and adapted.get("region") != region:
        raise CranpmError(
            f"checkpoint '{full.name}' was fine-tuned on pack '{adapted.get('region')}', asked for is '{region}': "
            "leave it out of --adapters"
        )


def _period(days: Mapping[str, Any]) -> tuple[dt.date, ...]:
    texts = [str(days[part]) for part in ("train", "validate") if days.get(part)]
    return parse_days(",".join(texts)) if texts else ()


def _unlike(name: str, taken: set[str]) -> str:
    """The name, numbered where another has it."""
    names = [name, *(f"{name} ({k})" for k in range(2, len(taken) + 3))]
    return next(free for free in names if free not in taken)
