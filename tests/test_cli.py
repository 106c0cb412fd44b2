"""The root command: what it lists, what it leaves unloaded, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cranpm import __version__, errors
from cranpm.cli import COMMANDS, main
from cranpm.lazy import Entry, load
from cranpm.regions.commands import RegionGroup

ROOT = Path(__file__).parents[1]
HEAVY = ("numpy", "pandas", "xarray", "zarr", "netCDF4", "matplotlib", "torch", "onnxruntime", "scores", "pyarrow")


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command line in a process of its own."""
    command = [sys.executable, "-m", "cranpm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


def in_process(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


def test_help_lists_every_command_with_its_line(capsys):
    assert in_process("--help") == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed[printed.index("Commands:") :].splitlines()[1:] if line.strip()]
    assert [words[0] for words in lines] == list(COMMANDS)
    assert all(len(words) > 3 for words in lines)


@pytest.mark.parametrize("arguments", [["--help"], ["region", "--help"], ["doctor", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import json, sys\nfrom cranpm.cli import main\n"
        f"try:\n    main({arguments!r})\nfinally:\n    print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("name", [*COMMANDS, *RegionGroup.table])
def test_every_entry_of_the_tables_leads_to_a_command(name):
    entry = {**COMMANDS, **RegionGroup.table}[name]
    command = load(name, entry)
    assert command.name == name
    assert command.help
    assert len(entry.help) <= 65, "click cuts longer lines"


@pytest.mark.parametrize("name", [*COMMANDS])
def test_every_command_has_a_help_page(name, capsys):
    assert in_process(name, "--help") == 0
    page = capsys.readouterr().out
    assert f"cranpm {name}" in page and "\\[" not in page


LEAVES = ("region show", "region check", "region new", "region eval", "region fit", "forecast", "train", "sample")
LEAVES += ("data inspect", "data prepare", "model show")


@pytest.mark.parametrize("command", LEAVES)
def test_the_help_of_a_command_says_what_its_argument_is_and_gives_an_example(command, capsys):
    assert in_process(*command.split(), "--help") == 0
    page = capsys.readouterr().out
    argument = page[page.index("Arguments:") : page.index("Options:")].splitlines()[1].split()
    assert len(argument) > 4, "the line has the name, what it is, and [required]"
    assert f"Example: cranpm {command} " in page
    assert page.count("rguments:") == 1 and "completion" not in page


def test_the_version_is_printed(capsys):
    assert in_process("--version") == 0
    assert capsys.readouterr().out == f"cranpm {__version__}\n"


def test_a_wrong_command_is_answered_with_the_nearest(capsys):
    assert in_process("regoin") == 2
    assert capsys.readouterr().err.count("Did you mean 'region'?") == 1


def test_an_error_a_user_can_put_right_is_one_line_and_status_2():
    status, out, err = run("region", "show", "indai")
    assert (status, out) == (2, "")
    assert err.startswith("error: no region 'indai'") and err.count("\n") == 1


def test_an_interrupted_command_ends_with_130(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cranpm.region.list_regions", interrupted)
    assert in_process("region", "list") == 130


def test_a_file_that_cannot_be_reached_is_one_line_and_status_2(monkeypatch, capsys):
    def denied(*_):
        raise PermissionError(13, "Permission denied", "packs/india.yaml")

    monkeypatch.setattr("cranpm.region.list_regions", denied)
    assert in_process("region", "list") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: packs/india.yaml: Permission denied; check") and err.count("\n") == 1


def test_a_missing_extra_is_answered_with_the_pip_line(monkeypatch, capsys):
    def needy() -> None:
        errors.require("a_module_that_nobody_has", extra="train")

    monkeypatch.setitem(sys.modules, "needy", type(sys)("needy"))
    sys.modules["needy"].command = needy  # type: ignore[attr-defined]
    monkeypatch.setattr("cranpm.cli.Root.table", {"doctor": Entry("needy:command", "Needs much.")})
    assert in_process("doctor") == 2
    assert 'pip install "cranpm[train]"' in capsys.readouterr().err


def test_a_broken_optional_dependency_is_not_taken_for_a_missing_one(monkeypatch, tmp_path):
    (tmp_path / "half_installed.py").write_text("import something_it_needs_itself\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_it_needs_itself"):
        errors.require("half_installed", extra="train")
