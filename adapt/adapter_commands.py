"""`cranpm adapter`: info, merge and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from cranpm.lazy import Entry, LazyGroup

if TYPE_CHECKING:
    from cranpm.model.adapter import Adapter


class AdapterGroup(LazyGroup):
    """What an adapter is here, what it is worth from where that lives."""

    table: ClassVar = {
        "compare": Entry("cranpm.adapt.compare_commands:compare", "What adapters are worth on days held out."),
    }


app = typer.Typer(
    cls=AdapterGroup,
    help="Adapters: what is in one, what it is worth, and merging it into its base.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def info(
    adapter: Annotated[Path, typer.Argument(help="An adapter folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what an adapter is and what it reached.

    Base, region, local days, numbers trained by part, size, scores on the days held out, licence, provenance. Reading
    checks the files against their hashes; neither torch nor peft is needed.

    Example: cranpm adapter info adapters/india
    """
    import json

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from cranpm.model.adapter import read_adapter

    facts = describe(read_adapter(adapter))
    if as_json:
        typer.echo(json.dumps(facts, indent=1, ensure_ascii=False, default=str))
        return
    table = Table("adapter", Column(escape(str(facts["name"])), overflow="fold"))
    for name, value in _rows(facts):
        table.add_row(escape(name), escape(value))
    Console().print(table)


@app.command()
def merge(
    adapter: Annotated[Path, typer.Argument(help="An adapter folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint to write.")],
    base: Annotated[str | None, typer.Option(help="Its base, where that is a checkpoint folder of your own.")] = None,
) -> None:
    """Merge an adapter into its base, and check it.

    What is written is a checkpoint that runs wherever a base does. The merged network is held against the base with
    peft's adapter beside its weights, on drawn inputs. Where the residuals differ by more than float32 explains,
    nothing is written.

    Example: cranpm adapter merge adapters/india --out checkpoints/india
    """
    from cranpm.errors import CranpmError, require
    from cranpm.model import registry
    from cranpm.model.adapter import read_adapter

    for module in ("torch", "peft"):
        require(module, extra="adapt")
    opened = read_adapter(adapter)
    _check_out(out)
    if not opened.base_hash:
        raise CranpmError(f"adapter '{opened.name}' was made on random weights: there is nothing to merge it into")
    try:
        found = registry.load(base or opened.base)
    except CranpmError as error:
        if base is not None:
            raise
        raise CranpmError(f"the base '{opened.base}' of '{opened.name}' is not here: name it with --base") from error
    from cranpm.adapt.merge import TOLERANCE
    from cranpm.adapt.merge import merge as write_merged

    named = f" --base {base}" if base else ""
    done = write_merged(opened, found, out, command=f"cranpm adapter merge {opened.name}{named}")
    print(f"Parity     {done.parity.relative:.1e} of the residual's standard deviation ({TOLERANCE:.0e} is allowed)")
    print(f"Checkpoint {out}, weights SHA-256 {done.hash[:16]}…")
    if opened.baselines is not None:
        print(f"It reads the past, as its base does; what was fitted on local days: --baselines {opened.baselines}")
    if opened.simulated or found.simulated:
        print("SIMULATED: trained on the sample world, not on measurements.")


def describe(adapter: Adapter) -> dict[str, object]:
    """All that is known of an adapter, as plain values for JSON."""
    from cranpm.model.adapter_tensors import lora_of

    lora, trained = lora_of(adapter), trained_by_part(adapter)
    return {
        "name": adapter.name,
        "hash": adapter.hash,
        "base": {"name": adapter.base, "sha256": adapter.base_hash},
        "region": adapter.region,
        "simulated": adapter.simulated,
        "days": {part: {"days": text, "count": _count(text)} for part, text in adapter.days.items()},
        "leads": list(adapter.leads),
        "rank": lora.rank,
        "alpha": lora.alpha,
        "trained": trained,
        "trained_total": sum(trained.values()),
        "bytes": sum(path.stat().st_size for path in adapter.home.iterdir() if path.is_file()),
        "baselines": adapter.baselines is not None,
        "detail": {str(lead): share for lead, share in adapter.detail.items()},
        "scores": dict(adapter.scores),
        "licence": adapter.licence,
        "provenance": dict(adapter.provenance),
        "channels": list(adapter.channels),
        "maps": list(adapter.maps),
    }


def trained_by_part(adapter: Adapter) -> dict[str, int]:
    """Numbers that were trained, by part of the network; parts that were not touched are left out."""
    from cranpm.model.adapter_tensors import adapter_tensors
    from cranpm.model.parts import PARTS

    sizes = {name: values.size for name, values in adapter_tensors(adapter).items()}
    counts = {
        label: sum(size for name, size in sizes.items() if name.startswith(tuple(f"{start}." for start in starts)))
        for label, starts, _ in PARTS
    }
    counts["elsewhere"] = sum(sizes.values()) - sum(counts.values())
    return {label: count for label, count in counts.items() if count}


def _count(text: str) -> int:
    from cranpm.data.days import parse_days

    return len(parse_days(text))


def _rows(facts: dict[str, object]) -> list[tuple[str, str]]:
    """The lines of the table."""
    import json

    base, days, trained = facts["base"], facts["days"], facts["trained"]
    assert isinstance(base, dict) and isinstance(days, dict) and isinstance(trained, dict)
    simulated = " (simulated)" if facts["simulated"] else ""
    return [
        ("base", f"{base['name']}, weights SHA-256 {base['sha256'] or 'none (random weights)'}"),
        ("region", f"{facts['region']}{simulated}"),
        *((f"days, {part}", f"{period['count']}{simulated}: {period['days']}") for part, period in days.items()),
        ("leads", ", ".join(f"T+{lead}" for lead in facts["leads"])),  # type: ignore[attr-defined]
        ("rank, alpha", f"{facts['rank']}, {facts['alpha']:g}"),
        *((f"trained, {part}", f"{count:,}") for part, count in trained.items()),
        ("trained in all", f"{facts['trained_total']:,} numbers"),
        ("size", f"{facts['bytes'] / 1e6:.2f} MB" + (", with baselines.nc" if facts["baselines"] else "")),  # type: ignore[operator]
        ("detail", json.dumps(facts["detail"]) if facts["detail"] else "the base's"),
        *((f"score, {name}{simulated}", _figure(value)) for name, value in facts["scores"].items()),  # type: ignore[attr-defined]
        ("licence", str(facts["licence"])),
        *((f"provenance, {name}", _figure(value)) for name, value in facts["provenance"].items()),  # type: ignore[attr-defined]
        ("tensors SHA-256", str(facts["hash"])),
    ]


def _figure(value: object) -> str:
    """A value for a person: numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_figure(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_figure(one) for one in value)
    return str(value)


def _check_out(out: Path) -> None:
    """Refuse to replace anything that is no checkpoint.

    Raises:
        CranpmError: there is something else.
    """
    from cranpm.errors import CranpmError
    from cranpm.model.checkpoint import MANIFEST

    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise CranpmError(f"--out {out}: there is something that is no checkpoint; name a folder of its own")
