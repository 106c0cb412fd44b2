"""After the last round an agency compares what it could use, on its own days, and keeps the best as an adapter.

Chosen by the selection days, reported on the scoring days; the two share no day, and neither was trained on.
FOLDER/choice.json    the four scores on both, and the recommendation
FOLDER/adapter/       the winner, for `--adapter`; none where the base did best
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
from cranpm.clients.choice import ADAPTER, FILE, KINDS, PICTURE, Choice
from cranpm.clients.message import Order, Tensors
from cranpm.clients.method import is_trained
from cranpm.clients.peft_config import peft_config
from cranpm.clients.picture import draw
from cranpm.clients.tensors import write_file
from cranpm.clients.training import Stretch, put_tensors, read_tensors, train
from cranpm.data.days import format_days
from cranpm.folders import swap_folder, write_whole
from cranpm.model.adapter import Adapter, read_adapter, write_manifest

if TYPE_CHECKING:
    from cranpm.clients.agency import Agency


def personalise(agency: Agency, order: Order, tensors: Tensors) -> Choice:
    """Train alone and further, score all four, keep the winner in the agency's folder.

    Args:
        agency: with its days.
        order: of the last round.
        tensors: the federation's final adapter.
    """
    network = agency.network(order.seed)
    first = read_tensors(network)
    found: dict[str, dict[str, NDArray[np.float32]]] = {"zero_shot": first}
    alone = order.rounds * order.steps + order.personal
    train(network, agency.data.train, agency.recipe, Stretch(0, alone, alone), order.seed, half=agency.half)
    found["local"] = read_tensors(network)
    after = replace(order, round=order.rounds + 1)
    put_tensors(network, {**first, **tensors, **agency.kept_before(after)})
    found["global"] = read_tensors(network)
    if order.personal:
        train(
            network, agency.data.train, agency.recipe, Stretch(0, order.personal, order.personal), order.seed + 1,
            trained=lambda name: is_trained("fedavg", name), half=agency.half,
        )  # fmt: skip
    found["personal"] = read_tensors(network)
    select, score, still = {}, {}, 0.0
    for kind, values in found.items():
        put_tensors(network, values)
        select[kind] = agency.score(network, agency.data.held_out).rmse
        scored = agency.score(network, agency.scoring)
        score[kind], still = scored.rmse, scored.persistence
    chosen = min(KINDS, key=lambda kind: select[kind])
    shares = agency.shares
    base = agency.recipe.base
    choice = Choice(
        chosen, select, score, still, format_days(shares.select), format_days(shares.score),
        base.simulated or agency.store.simulated,
    )  # fmt: skip
    _keep(agency, choice, found[chosen], order)
    world = " (simulated)" if choice.simulated else ""
    panels: dict[str, Tensors] = {"the base": first, chosen: found[chosen]}
    draw(agency.folder / PICTURE, network, agency.scoring, panels, f"{agency.file.name}{world}")
    return choice


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
            scores={"kind": choice.chosen, "rmse": choice.score, "rmse_selection": choice.select},
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
