"""After the last round an agency compares what it could use, on its own days, and keeps the best as an adapter.

Chosen by the selection days (`choose`), reported on the scoring days; no day is in both, or was trained on. How much
of a change counts is chosen, too, and alike for all: weeks that are more or less polluted than usual teach too much.
FOLDER/choice.json    the four scores on both, and the recommendation
FOLDER/adapter/       the winner, for `--adapter`; none where the base did best
FOLDER/alone/         what was trained alone, so that an exchange that is made again need not train it again
FOLDER/before_after.png
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cranpm.adapt.local_data import BASELINES
from cranpm.clients.book import CONFIG, WEIGHTS
from cranpm.clients.choice import ADAPTER, FILE, PICTURE, STRENGTHS, Choice, choose
from cranpm.clients.message import Order, Tensors
from cranpm.clients.method import UP
from cranpm.clients.peft_config import peft_config
from cranpm.clients.picture import draw, typical
from cranpm.clients.tensors import read_file, write_file
from cranpm.clients.training import Stretch, put_tensors, read_tensors, train
from cranpm.data.days import format_days
from cranpm.folders import swap_folder, write_whole
from cranpm.model.adapter import Adapter, read_adapter, write_manifest
from cranpm.model.network import CranPM

if TYPE_CHECKING:
    from cranpm.clients.agency import Agency, Score

ALONE = "alone"


def personalise(agency: Agency, order: Order, tensors: Tensors) -> Choice:
    """Train alone and further, score all four, keep the winner in the agency's folder.

    Args:
        agency: with its days.
        order: of the last round.
        tensors: the federation's final adapter.
    """
    network = agency.network(order.seed)
    first = read_tensors(network)
    local = _alone(agency, order, network)
    after = replace(order, round=order.rounds + 1)
    put_tensors(network, {**first, **tensors, **agency.kept_before(after)})
    together = read_tensors(network)
    if order.personal:
        train(
            network, agency.data.train, agency.recipe, Stretch(0, order.personal, order.personal), order.seed + 1,
            half=agency.half,
        )  # fmt: skip
    found = {"zero_shot": first, "local": local, "global": together, "personal": read_tensors(network)}
    select: dict[str, float] = {}
    daily: dict[str, tuple[float, ...]] = {}
    scores: dict[str, Score] = {}
    strengths: dict[str, float] = {}
    for kind, values in found.items():
        tried: dict[float, Score] = {}
        for strength in STRENGTHS if kind != "zero_shot" else (1.0,):
            put_tensors(network, weakened(values, strength))
            tried[strength] = agency.score(network, agency.data.held_out)
        best = min(tried, key=lambda strength: tried[strength].rmse)
        strengths[kind], select[kind], daily[kind] = best, tried[best].rmse, tried[best].daily
        found[kind] = weakened(values, best)
        put_tensors(network, found[kind])
        scores[kind] = agency.score(network, agency.scoring)
    chosen = choose(daily)
    shares = agency.shares
    base = agency.recipe.base
    choice = Choice(
        chosen, strengths, select, {kind: score.rmse for kind, score in scores.items()}, scores[chosen].persistence,
        format_days(shares.select), format_days(shares.score), base.simulated or agency.store.simulated,
    )  # fmt: skip
    _keep(agency, choice, found[chosen], order)
    title = f"{agency.file.name}{' (simulated)' if choice.simulated else ''}"
    panels: dict[str, Tensors] = {"the base": first, chosen.replace("_", "-"): found[chosen]}
    day = typical(scores["zero_shot"].daily, scores[chosen].daily)
    draw(agency.folder / PICTURE, network, agency.scoring, agency.sweep(agency.scoring)[day], panels, title)
    return choice


def weakened(tensors: Tensors, strength: float) -> dict[str, NDArray[np.float32]]:
    """An adapter whose update B A counts so much: B is scaled, A is not."""
    return {
        name: (np.float32(strength) * values if name.endswith(UP) else np.asarray(values))
        for name, values in tensors.items()
    }


def _alone(agency: Agency, order: Order, network: CranPM) -> dict[str, NDArray[np.float32]]:
    """What the agency reaches without the others, in as many steps; read where an earlier exchange trained it."""
    steps = order.rounds * order.steps + order.personal
    path = agency.folder / ALONE / f"{agency.digest(order.seed, steps)}.safetensors"
    if path.is_file():
        return read_file(path)
    train(network, agency.data.train, agency.recipe, Stretch(0, steps, steps), order.seed, half=agency.half)
    made = read_tensors(network)
    write_file(path, made)
    return made


def _keep(agency: Agency, choice: Choice, tensors: Tensors, order: Order) -> None:
    """The winner as an adapter folder, and the numbers; `choice.json` last."""
    folder = agency.folder / ADAPTER
    if choice.chosen == "zero_shot":
        shutil.rmtree(folder, ignore_errors=True)
    else:
        new = agency.folder / f".{ADAPTER}.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        _write_adapter(new, agency, choice, tensors, order)
        read_adapter(new)
        swap_folder(new, folder)
    text = json.dumps({**asdict(choice), "recommendation": choice.sentence}, indent=1)
    write_whole(agency.folder / FILE, f"{text}\n".encode())


def _write_adapter(folder: Path, agency: Agency, choice: Choice, tensors: Tensors, order: Order) -> None:
    recipe, shares = agency.recipe, agency.shares
    base = recipe.base
    write_file(folder / WEIGHTS, tensors)
    write_whole(folder / CONFIG, (json.dumps(peft_config(recipe), indent=2, sort_keys=True) + "\n").encode())
    fitted = agency.past / BASELINES
    if fitted.is_file():
        shutil.copyfile(fitted, folder / BASELINES)
    write_manifest(
        folder,
        Adapter(
            name=agency.file.name,
            base=base.name,
            base_hash=base.hash,
            region=agency.region.name,
            channels=recipe.config.channels,
            maps=recipe.config.maps,
            leads=recipe.leads,
            days={"train": format_days(shares.train), "validate": format_days((*shares.select, *shares.score))},
            simulated=choice.simulated,
            scores={
                "kind": choice.chosen,
                "strength": choice.strengths[choice.chosen],
                "rmse": choice.score,
                "rmse_selection": choice.select,
            },
            licence=base.licence,
            provenance={
                "command": "cranpm federate",
                "method": order.method,
                "rounds": order.rounds,
                "steps": order.steps,
                "personal": order.personal,
                "seed": order.seed,
            },
        ),
    )
