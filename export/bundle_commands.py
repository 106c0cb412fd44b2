"""`cranpm bundle`: info, verify, sign, bench and budget. All but bench and budget read only; none needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cranpm.forecast.bundle import Bundle

app = typer.Typer(
    help="Bundles: what is in one, whether it is whole and whose, and how fast it runs here.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Named = Annotated[Path, typer.Argument(help="A bundle, or the name of a network that ships with one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def info(bundle: Named, as_json: AsJson = False) -> None:
    """Show what a bundle is: network, leads, packs, precision, parity with torch, licence, origin.

    Example: cranpm bundle info europe.bundle
    """
    import json

    from cranpm.forecast.bundle import open_bundle

    facts = describe(open_bundle(bundle))
    if as_json:
        typer.echo(json.dumps(facts, indent=1, ensure_ascii=False, default=str))
        return
    _table({name: value if isinstance(value, str) else _words(value) for name, value in facts.items()})


@app.command()
def verify(
    bundle: Named,
    require_key: Annotated[Path | None, typer.Option(help="A public key (PEM) that must have signed it.")] = None,
) -> None:
    """Check a bundle: every byte is as it was made, and with --require-key it is from whom it should be.

    Example: cranpm bundle verify europe.bundle --require-key centre.pub
    """
    from cranpm.forecast.bundle import open_bundle

    found = open_bundle(bundle, key=require_key)
    signer = f"signed by the key {found.key}" if found.key else "not signed: whole, but its origin is not proven"
    print(f"{bundle}: {len(found.members)} files as they were made; {signer}")


@app.command()
def sign(
    bundle: Named,
    key: Annotated[Path, typer.Option(help="An Ed25519 private key (PEM): openssl genpkey -algorithm ed25519.")],
    out: Annotated[Path | None, typer.Option(help="Another file to write; without, the bundle itself.")] = None,
) -> None:
    """Sign a bundle, in the place of a signature that is there.

    Example: cranpm bundle sign europe.bundle --key centre.key
    """
    from cranpm.forecast.bundle import open_bundle, sign_bundle

    signed = sign_bundle(open_bundle(bundle), key, out or bundle)
    print(f"Signed    {signed.path} by the key {signed.key}")


@app.command()
def bench(
    bundle: Named,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.")] = "auto",
    batch: Annotated[int | None, typer.Option(min=1, max=64, help="Tiles at a time. [what suits the device]")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of which the median counts.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Time a bundle on this machine: seconds per tile, per day and per map, and the memory it took.

    Example: cranpm bundle bench europe.bundle --json
    """
    import json

    from cranpm.export.bench import bench as measure
    from cranpm.forecast.bundle import open_bundle

    found = measure(open_bundle(bundle), device=device, batch=batch, repeats=repeats)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    maps = {f"map of {name}": f"{m['seconds']} s a lead, {m['tiles']} tiles" for name, m in found.pop("maps").items()}
    predicted = found.pop("predicted")["peak_mb"]
    _table({**{name: str(value) for name, value in found.items()}, "predicted_mb": str(predicted), **maps})


@app.command()
def budget(
    bundle: Named,
    gpu: Annotated[str, typer.Option(help="Memory of a card, such as 4GB.")] = "",
    ram: Annotated[str, typer.Option(help="Memory of a machine without one, such as 8GB.")] = "",
    as_json: AsJson = False,
) -> None:
    """Predict the memory that a bundle takes, by part, and how many tiles fit at a time.

    Example: cranpm bundle budget europe.bundle --gpu 4GB
    """
    import json

    from cranpm.errors import CranpmError
    from cranpm.export import budget as plan
    from cranpm.forecast.bundle import open_bundle

    if bool(gpu) == bool(ram):
        raise CranpmError("name the memory of one thing: --gpu 4GB or --ram 8GB")
    opened, device, limit = open_bundle(bundle), "cuda" if gpu else "cpu", plan.megabytes(gpu or ram)
    found, words = plan.advice(opened, device=device, limit=limit)
    shown = plan.as_json(found or plan.budget(opened, device=device, batch=1))
    if as_json:
        typer.echo(json.dumps({**shown, "limit_mb": round(limit, 1), "fits": found is not None, "advice": words}))
        return
    parts = {name: f"{size:.0f} MB" for name, size in shown["parts_mb"].items()}
    _table({"bundle": opened.checkpoint.name, **parts, "peak": f"{shown['peak_mb']:.0f} MB of {limit:.0f}"})
    print(f"{words[0].upper()}{words[1:]}. Predicted, not measured; `cranpm bundle bench` measures here.")


def describe(bundle: Bundle) -> dict[str, object]:
    """What a bundle is, in plain values."""
    from cranpm.forecast.static import STATIC

    manifest, checkpoint = bundle.manifest, bundle.checkpoint
    inside = manifest["adapter"]
    return {
        "name": checkpoint.name,
        "network": checkpoint.config.name,
        "weights": checkpoint.hash or "random: not a forecast",
        "trained on": f"{'simulated ' if checkpoint.simulated else ''}{checkpoint.region}" or "nothing",
        "leads": list(checkpoint.trained_leads or checkpoint.config.leads),
        "detail": {str(lead): share for lead, share in checkpoint.detail.items()},
        "adapter": "none: base for adapters" if inside is None else f"{inside['name']} ({inside['region']}), merged",
        "precision": bundle.precision,
        "packs": sorted(manifest["packs"]),
        "ground of": sorted(name for name, files in manifest["packs"].items() if STATIC in files) or "no region",
        "coarse windows": list(manifest["days"]),
        "coarse channels": len(checkpoint.config.channels),
        "maps": list(checkpoint.config.maps),
        "loss of 8 bits": {f"T+{entry['lead']}": _lost(entry) for entry in manifest["loss"]},
        "parity": {"cases": len(manifest["parity"]), **_worst(manifest["parity"])},
        "licence": checkpoint.licence,
        "made": f"{manifest['created']} by cranpm {manifest['cranpm']}",
        "signed by": bundle.key or "nobody",
        "manifest": bundle.hash,
        "megabytes": round(bundle.path.stat().st_size / 1e6, 2),
    }


def _lost(entry: dict[str, float]) -> str:
    """How much larger the RMSE became."""
    return f"{100 * (entry['rmse'] / entry['rmse_exact'] - 1):+.2f} % RMSE"


def _worst(parity: list[dict[str, float]]) -> dict[str, float]:
    """The largest of each figure."""
    return {figure: max(entry[figure] for entry in parity) for figure in ("rms", "largest")} if parity else {}


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.2g}" if isinstance(value, float) and abs(value) < 0.01 else str(value)


def _table(facts: dict[str, str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    rows = iter(facts.items())
    table = Table("bundle", Column(escape(next(rows)[1]), overflow="fold"))
    for name, value in rows:
        table.add_row(name, escape(value))
    Console().print(table)
