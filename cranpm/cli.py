"""The root command: a table of commands, and the one line a person sees when something is wrong."""

from __future__ import annotations

import sys
from typing import ClassVar, NoReturn

import typer

from cranpm import __version__
from cranpm.errors import CranpmError
from cranpm.lazy import Entry, LazyGroup

COMMANDS = {
    "region": Entry("cranpm.regions.commands:app", "Region packs, and how good a model is there (eval)."),
    "forecast": Entry("cranpm.forecast.commands:forecast", "Forecast the 1 km maps of the days after a date."),
    "train": Entry("cranpm.train.commands:train", "Train a checkpoint on a region."),
    "adapt": Entry("cranpm.adapt.commands:adapt", "Adapt a model to a region's own days (LoRA)."),
    "adapter": Entry("cranpm.adapt.adapter_commands:app", "Adapters: what is in one, its worth, merging it."),
    "federate": Entry("cranpm.clients.commands:app", "Adapt together with other agencies; tiles stay at home."),
    "export": Entry("cranpm.export.commands:export", "Make a bundle of a model, to run it without torch."),
    "bundle": Entry("cranpm.export.bundle_commands:app", "Bundles: what is in one, is it whole, signing, speed."),
    "ablate": Entry("cranpm.train.commands:ablate", "Which mechanisms earn their place, on the sample world."),
    "intervene": Entry("cranpm.verify.commands:intervene", "What a trained model does with its inputs: alter them."),
    "sample": Entry("cranpm.sample.commands:sample", "Write simulated days of a region in the providers' formats."),
    "composition": Entry("cranpm.composition.commands:app", "Coarse composition: sharpen the reanalysis, forecast it."),
    "data": Entry("cranpm.data.commands:app", "Look into products and prepare them as a store."),
    "model": Entry("cranpm.model.commands:app", "Checkpoints and configurations: list, show."),
    "doctor": Entry("cranpm.doctor:doctor", "What is installed here, and what each command still needs."),
}
"""Every command of the root, by name."""


class Root(LazyGroup):
    """The group behind `cranpm`."""

    table: ClassVar = COMMANDS

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """In the order of a user's path, not of the alphabet."""
        return list(COMMANDS)


app = typer.Typer(cls=Root, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors a user can put right become one line on stderr and exit status 2."""
    try:
        typer.main.get_command(app).main(arguments, prog_name="cranpm")
    except CranpmError as error:
        _refuse(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _refuse(f"{error.filename}: {error.strerror}; check the path, its permissions and the room on the disk")


def _refuse(reason: str) -> NoReturn:
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"cranpm {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """1 km PM2.5 forecasts: train once on Europe, evaluate anywhere, adapt where the data is.

    Start with: cranpm region eval india
    """
