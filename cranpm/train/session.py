"""A run from its recipe's name to the trainer: folder, simulated days, statistics, provenance."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from cranpm import __version__
from cranpm.data.dataset import Examples, HeldStore, hold, statistics_of
from cranpm.data.progress import Progress
from cranpm.errors import CranpmError
from cranpm.forecast.torch_engine import pick_device
from cranpm.model.checkpoint import Checkpoint
from cranpm.region import Region
from cranpm.sample.cache import cache_folder
from cranpm.train.loop import CHECKPOINT, HISTORY, RESUME, Trainer
from cranpm.train.recipe import Past, Recipe, read_recipe, recipe_hash, recipe_path
from cranpm.train.stores import make_stores, store_path


@dataclass
class Plan:
    """A run that is about to happen.

    Attributes:
        recipe, region: what is trained on what.
        seed, device: as asked for.
        folder: the run's folder.
        command: the line that repeats the run.
        recipe_sha256: hash of the recipe's text.
        cache: where the simulated stores lie.
        examples: those to train on and those to validate on, once loaded.
    """

    recipe: Recipe
    region: Region
    seed: int
    device: str
    folder: Path
    command: str
    recipe_sha256: str
    cache: Path
    examples: tuple[Examples, Examples] = field(init=False)

    @property
    def key(self) -> str:
        """What must agree for a run to be resumed."""
        return f"recipe {self.recipe_sha256[:12]}, seed {self.seed}"

    def prepare_folder(self, *, resume: bool) -> None:
        """Make the run's folder.

        Raises:
            CranpmError: it holds a run and none is to be resumed, or the other way round.
        """
        if resume and not (self.folder / RESUME).is_file():
            raise CranpmError(f"{self.folder}: no unfinished run there; leave --resume out to start one")
        held = [name for name in (RESUME, HISTORY, CHECKPOINT) if (self.folder / name).exists()]
        if held and not resume:
            unfinished = RESUME in held
            raise CranpmError(
                f"{self.folder}: holds {'an unfinished' if unfinished else 'a finished'} run; "
                f"{'add --resume, or ' if unfinished else ''}give another folder with --out"
            )
        self.folder.mkdir(parents=True, exist_ok=True)

    def simulate(self) -> Iterator[tuple[int, int]]:
        """Make the stores that are missing, yielding days that are ready and days in all."""
        yield from make_stores(self.recipe, self.region, [*self.recipe.train, *self.recipe.validate], self.cache)

    def load(self, tell: Progress) -> Trainer:
        """Read the stores into memory and set up the trainer."""
        pasts = [*self.recipe.train, *self.recipe.validate]
        held: list[HeldStore] = []
        for done, past in enumerate(pasts, start=1):
            held.append(hold(store_path(self.recipe, self.region, past, self.cache), past.dates))
            tell("stores read", done, len(pasts))
        past_count = len(self.recipe.train)
        config, leads = self.recipe.config, self.recipe.leads
        self.examples = (Examples(held[:past_count], config, leads), Examples(held[past_count:], config, leads))
        about = Checkpoint(
            name=self.recipe.name,
            config=config,
            statistics=statistics_of(held[:past_count]),
            trained_leads=leads,
            region=self.region.name,
            simulated=True,
            provenance=self._provenance(),
        )
        device = pick_device(self.device)
        return Trainer(self.recipe, about, self.folder, key=self.key, seed=self.seed, device=device)

    def _provenance(self) -> dict[str, object]:
        from cranpm.sample.world import WORLD_VERSION

        def listed(pasts: tuple[Past, ...]) -> list[str]:
            return [f"{past.window}, realisation {past.realisation}, {past.days}" for past in pasts]

        return {
            "command": self.command,
            "recipe": self.recipe.name,
            "recipe_sha256": self.recipe_sha256,
            "seed": self.seed,
            "world_version": WORLD_VERSION,
            "world_seed": self.recipe.world_seed,
            "train": listed(self.recipe.train),
            "validate": listed(self.recipe.validate),
            "python": platform.python_version(),
            "versions": {"cranpm": __version__, **{name: version(name) for name in ("torch", "numpy")}},
        }


def plan(name: str, *, quick: bool, seed: int, out: Path | None, device: str, cache: Path | None = None) -> Plan:
    """Read a recipe and decide where its run lies.

    Raises:
        CranpmError: the recipe is not there or not right, or there is no such device.
    """
    pick_device(device)  # a wrong one should not cost the simulating
    path = recipe_path(name, quick=quick)
    recipe, region = read_recipe(path)
    folder = out or Path("runs") / f"{recipe.name}-s{seed}"
    shown = name if Path(name).suffix == "" else Path(name).name
    command = f"cranpm train {shown}{' --quick' if quick else ''} --seed {seed}"
    return Plan(recipe, region, seed, device, folder, command, recipe_hash(path), cache or cache_folder())
