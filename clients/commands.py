"""`cranpm federate`: one adapter for several agencies, whose tiles stay at home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, cast

import typer

from cranpm.lazy import Entry, LazyGroup
from cranpm.options import plain_warnings

if TYPE_CHECKING:
    from cranpm.clients.book import Line
    from cranpm.clients.federation import Robust
    from cranpm.clients.method import Method


class FederateGroup(LazyGroup):
    """What runs on one machine here; what runs between machines from `deploy_commands`."""

    table: ClassVar = {
        name: Entry(f"cranpm.clients.deploy_commands:{name.replace('-', '_')}", text)
        for name, text in (
            ("init", "Coordinator: make folder, keys and gateway."),
            ("request", "Agency: make a key, which never leaves."),
            ("admit", "Coordinator: let an agency's key in."),
            ("serve", "Coordinator: start SuperLink and gateway."),
            ("join", "Agency: take part; the store stays at home."),
            ("run", "Coordinator: start or resume the rounds."),
        )
    }


app = typer.Typer(
    cls=FederateGroup,
    help="Federations: agencies train one adapter together, and their tiles stay at home.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command(short_help="Four simulated agencies on this machine.")
def simulate(
    out: Annotated[Path, typer.Option(help="Folder of the federation: rounds, adapters, report.")],
    method: Annotated[str, typer.Option(help="fedavg, fedprox, ffa-lora or fedsa-lora.")] = "fedavg",
    robust: Annotated[str, typer.Option(help="clip, none, trimmed or krum.")] = "clip",
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds. [5]")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each agency in a round. [6]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the adapter, the examples and the simulated weather.")] = 0,
    base: Annotated[str, typer.Option(help="A registered model or a checkpoint folder.")] = "europe-sample",
    quick: Annotated[bool, typer.Option("--quick", help="Two rounds of one step: shows that it works.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the rounds in --out, as they began.")] = False,
    engine: Annotated[bool, typer.Option("--engine", help="In Flower's simulation engine; needs ray.")] = False,
) -> None:
    """Four simulated agencies (India twice, California, Silesia) train one adapter, in one process.

    What a deployment does, this does, too: the same app, checks, records and report; only the network is missing.
    The first call simulates 160 days of the four places and keeps them in the cache.

    Example: cranpm federate simulate --out reports/federation
    """
    from dataclasses import replace

    from rich.console import Console

    from cranpm.clients.quiet import quiet
    from cranpm.data.progress import progress_bar
    from cranpm.errors import CranpmError
    from cranpm.folders import cache_folder

    plain_warnings()
    quiet()
    from cranpm.clients.federation import read_federation
    from cranpm.clients.simulate import QUICK, Simulation, prepare, run

    if wrong := next((v for v, known in ((method, METHODS), (robust, ROBUST)) if v not in known), None):
        raise CranpmError(f"'{wrong}': expected one of {', '.join(METHODS)} and one of {', '.join(ROBUST)}")
    wanted = QUICK if quick else Simulation()
    plan = replace(
        wanted.plan, rounds=rounds or wanted.plan.rounds, steps=steps or wanted.plan.steps, seed=seed, base=base,
        method=cast("Method", method), robust=cast("Robust", robust),
    )  # fmt: skip
    with progress_bar() as tell:
        if not resume:
            prepare(replace(wanted, plan=plan), out, cache_folder(), tell)
        planned = read_federation(out).rounds

        def told(line: Line) -> None:
            tell("rounds", line.round, planned)

        run(out, resume=resume, tell=told, preparing=tell, engine=engine)
    show_status(out, Console())
    typer.echo(f"{out / 'report.html'}  (simulated)")


@app.command(short_help="Rounds, agencies, scores, rejections; report.")
def status(folder: Annotated[Path, typer.Argument(help="The coordinator's folder, or --out of a simulation.")]) -> None:
    """Where a federation stands: rounds, agencies, scores, bytes, who was rejected and why; writes report.html.

    Example: cranpm federate status federation
    """
    from rich.console import Console

    from cranpm.clients.report import write_report

    show_status(folder, Console())
    typer.echo(str(write_report(folder)))


METHODS = ("fedavg", "fedprox", "ffa-lora", "fedsa-lora")
ROBUST = ("clip", "none", "trimmed", "krum")


def show_status(folder: Path, console: object) -> None:
    """The tables."""
    from cranpm.clients.status import show

    show(folder, console)  # type: ignore[arg-type]
