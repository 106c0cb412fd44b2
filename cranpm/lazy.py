"""A command group that lists its commands from a table and imports one only when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import click
import typer
from typer.core import TyperArgument, TyperGroup

# Help is plain text everywhere. With rich about, typer escapes the brackets of "[required]" even in plain help.
typer.core.HAS_RICH = False


class _Argument(TyperArgument):
    """An argument that keeps its help: click 8.5 has one of its own, which empties typer's, and a section for it."""

    def __init__(self, *, help: str | None = None, **attributes: Any) -> None:  # typer's own, handed on untouched
        super().__init__(help=help, **attributes)
        self._line = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:  # type: ignore[override]
        """Name and help, as typer writes them."""
        known, self.help = self.help, self._line
        try:
            return super().get_help_record(ctx)
        finally:
            self.help = known


typer.main.TyperArgument = _Argument  # type: ignore[misc]


@dataclass(frozen=True)
class Entry:
    """A command that is imported when called.

    Attributes:
        target: "module:name" of a command function or of a typer app.
        help: the line that the group's help shows.
    """

    target: str
    help: str


class LazyGroup(TyperGroup):
    """A group whose table of entries stands beside its ordinary commands."""

    table: ClassVar[Mapping[str, Entry]] = {}

    def __init__(self, **attributes: Any) -> None:  # click's own constructor arguments, handed on untouched
        super().__init__(**attributes)
        self.suggest_commands = False  # click names the nearest command itself
        for name, entry in self.table.items():
            self.commands[name] = click.Command(name, help=entry.help)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command to run, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self.table:
            command = load(name, self.table[name])
        return name, command, rest


def load(name: str, entry: Entry) -> click.Command:
    """Import the command of an entry."""
    module, _, attribute = entry.target.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, help=target.__doc__ or entry.help)(target)
        target = app
    command = typer.main.get_command(target)
    if isinstance(command, TyperGroup):
        command.suggest_commands = False
    command.name = name
    return command
