"""What the two networks are made of, as a table of parameters by part."""

from __future__ import annotations

from torch import nn

from cranpm.composition.deepcams.config import SPATIAL, TEMPORAL
from cranpm.composition.deepcams.spatial import SpatialNetwork
from cranpm.composition.deepcams.temporal import TemporalNetwork

PUBLISHED = {
    "time": {"features": "extract", "coarser features": "coarser", "flow, coarsest level": "coarsest_flow",
             "flow, finer levels": "finer_flow", "flow at t": "flow_at_t", "refinement": "refine"},
    "space": {"head": "first look second", "up-projections": "ups", "down-projections": "downs",
              "attention": "attentions", "links": "up_links attention_links",
              "reconstruction": "from_ups from_downs last", "final back-projection": "back_first back_look back_last"},
}  # fmt: skip
"""The modules of each network, by what the paper calls them."""

UNUSED = {"time": 73_856, "space": 84_294}
"""Parameters that the published classes make at the paper's size and never use: left out here."""


def rows(model: str) -> list[tuple[str, str, int]]:
    """Network, part and parameters of a configuration; each network ends with its sum.

    Raises:
        KeyError: there is no such configuration.
    """
    found: list[tuple[str, str, int]] = []
    networks: dict[str, nn.Module] = {
        "time": TemporalNetwork(TEMPORAL[model]),
        "space": SpatialNetwork(SPATIAL[model]),
    }
    for task, network in networks.items():
        for part, names in PUBLISHED[task].items():
            found.append((task, part, sum(_count(getattr(network, name)) for name in names.split())))
        found.append((task, "sum", _count(network)))
        if model == "paper":
            found.append((task, "published, with what it never uses", _count(network) + UNUSED[task]))
    return found


def _count(module: nn.Module | None) -> int:
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())
