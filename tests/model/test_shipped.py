"""The checkpoint that ships with the package: whole, small, and made by the recipe that ships beside it."""

from __future__ import annotations

from dataclasses import replace

import torch

from cranpm.forecast.bundle import open_bundle
from cranpm.model import registry
from cranpm.region import list_regions, load_region
from cranpm.train.recipe import recipe_hash, recipe_path
from tests.model.examples import coarse_inputs, tile_inputs

NAME = "europe-sample"


def test_it_says_how_it_was_made() -> None:
    shipped = registry.load(NAME)
    assert shipped.simulated and shipped.region == "europe"
    assert shipped.trained_leads == (1, 2, 3)
    assert shipped.provenance["command"] == f"cranpm train {NAME} --seed 0"
    assert shipped.provenance["recipe_sha256"] == recipe_hash(recipe_path(NAME))


def test_it_stays_small_enough_to_ship() -> None:
    sizes = {file.name: file.stat().st_size for file in (registry.SHIPPED / NAME).iterdir()}
    assert sizes.pop(registry.BUNDLE) <= 5_000_000
    assert sum(sizes.values()) <= 8_000_000


def test_its_bundle_is_of_these_weights_and_serves_the_samples_of_the_packs() -> None:
    bundle, shipped = open_bundle(NAME), registry.load(NAME)
    assert replace(bundle.checkpoint, folder=shipped.folder) == shipped
    for name in list_regions():
        assert load_region(name).sample.coarse.shape in bundle.days


def test_it_is_trained_and_listens_to_the_weather() -> None:
    shipped = registry.load(NAME)
    network = shipped.network().eval()
    coarse, elevation = coarse_inputs(shipped.config)
    tiles = tile_inputs(shipped.config)
    turned = coarse.clone()
    turned[:, [shipped.config.channels.index(name) for name in ("u10_t", "v10_t")]] *= -1
    with torch.inference_mode():
        residual = network.forward_tiles(network.encode_day(coarse, elevation), *tiles)
        other = network.forward_tiles(network.encode_day(turned, elevation), *tiles)
    assert residual.abs().mean() > 0.01  # an untrained network gives 0 everywhere
    assert (other - residual).abs().max() > 1e-3
