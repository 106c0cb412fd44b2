"""A federation of four simulated agencies on one machine: the same app, the coordinator and all agencies in a folder.

OUT/federation.yaml, rounds.jsonl, rounds/, choices.json, report.html    the coordinator's
OUT/agencies/NAME/                                                       each agency's own
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cranpm.adapt.local_data import BASELINES
from cranpm.clients.agency import FILE as AGENCY
from cranpm.clients.book import LINES, Line
from cranpm.clients.federation import FILE as FEDERATION
from cranpm.clients.federation import SETTINGS, Federation
from cranpm.clients.places import PLACES, agency_days, make_stores, public_days
from cranpm.data.days import format_days
from cranpm.data.progress import Progress
from cranpm.errors import CranpmError
from cranpm.folders import write_whole

AGENCIES = "agencies"


@dataclass(frozen=True)
class Simulation:
    """What is simulated.

    Attributes:
        plan: what `federation.yaml` will say, but for settings and public days.
        days: each agency's own days.
    """

    plan: Federation = field(default_factory=lambda: Federation(least=3))
    days: int = 148


QUICK = Simulation(Federation(least=3, rounds=2, steps=1, personal=1), days=37)
"""A federation that only shows that everything works."""


def prepare(wanted: Simulation, out: Path, cache: Path, tell: Progress) -> None:
    """Simulate the days and write the folders of coordinator and agencies.

    Raises:
        CranpmError: the folder holds a federation already.
    """
    if (out / LINES).exists():
        raise CranpmError(f"{out}: holds a federation already; go on with --resume, or give another --out")
    own, public = agency_days(wanted.days), public_days(wanted.days)
    plan = wanted.plan
    stores = make_stores(PLACES, (*own, *public), plan.seed, cache, tell)
    write_whole(out / "settings.yaml", SETTINGS.read_bytes())
    for place in PLACES:
        _write(
            out / AGENCIES / place.name / AGENCY,
            {
                "name": place.name,
                "region": place.region,
                "data": str(stores[place.name]),
                "base": plan.base,
                "settings": "../../settings.yaml",
                "days": format_days(own),
            },
        )
    shown = [{"region": p.region, "data": str(stores[p.name]), "days": format_days(public)} for p in PLACES]
    _write(out / FEDERATION, {**asdict(plan), "settings": "settings.yaml", "public": shown})


def run(
    out: Path, *, resume: bool, tell: Callable[[Line], None], preparing: Progress, engine: bool = False
) -> dict[str, Any]:
    """Run the rounds and write the report.

    Args:
        out: what `prepare` made.
        resume: go on with the rounds that are there.
        tell: called with every round's line.
        preparing: called with how far the agencies' preparations are.
        engine: in Flower's simulation engine instead of this process.

    Returns:
        What the agencies told after the last round, by name.
    """
    from cranpm.clients import app
    from cranpm.clients.coordinator import Coordinator
    from cranpm.clients.engine import run_in_engine
    from cranpm.clients.flapp.client_app import app as client_app
    from cranpm.clients.grid import InProcessGrid
    from cranpm.clients.quiet import hush
    from cranpm.clients.report import write_report
    from cranpm.clients.status import choices

    hush()
    folders = sorted(path.parent for path in (out / AGENCIES).glob(f"*/{AGENCY}"))
    if not folders:
        raise CranpmError(f"{out}: no agency there; run `cranpm federate simulate --out {out}` without --resume")
    nodes = {number: {"agency": str(folder)} for number, folder in enumerate(folders, start=1)}
    names = {number: folder.name for number, folder in enumerate(folders, start=1)}
    agencies = [app.open_agency(folder, preparing) for folder in folders]
    for agency in agencies:
        _ = agency.data  # opened here, so that the preparations can be seen
    _give_pasts(out, {agency.file.name: agency.past / BASELINES for agency in agencies})
    if engine:
        run_in_engine(out, out / AGENCIES, resume=resume, tell=tell)
    else:
        Coordinator(out, tell).run(InProcessGrid(client_app, nodes, {}), names, resume=resume)
    write_report(out)
    return choices(out)


def _give_pasts(out: Path, fitted: Mapping[str, Path]) -> None:
    """Let the public days of a window meet the past that was fitted on earlier days of it, for bases that read one."""
    plan = yaml.safe_load((out / FEDERATION).read_text(encoding="utf-8"))
    for place, public in zip(PLACES, plan.get("public", ()), strict=False):
        if place.name in fitted and fitted[place.name].is_file():
            public["baselines"] = str(fitted[place.name].resolve())
    _write(out / FEDERATION, plan)


def _write(path: Path, values: dict[str, Any]) -> None:
    write_whole(path, yaml.safe_dump(values, sort_keys=False).encode())
