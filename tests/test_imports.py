"""Imports point one way, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"cranpm": "cranpm", "regions": "cranpm.regions", "adapt": "cranpm.adapt"}
FOLDERS |= {"export": "cranpm.export", "clients": "cranpm.clients"}
OUTER = {
    "cranpm": ("cranpm.regions", "cranpm.adapt", "cranpm.export", "cranpm.clients"),
    "regions": ("cranpm.adapt", "cranpm.export", "cranpm.clients"),
    "adapt": ("cranpm.export", "cranpm.clients"),
    "export": ("cranpm.clients",),
    "clients": ("cranpm.export",),
}
"""What each folder must not import: whatever stands further out."""

EXTRA_ONLY = {
    "torch",
    "lightning",
    "scores",
    "skimage",
    "scipy",
    "pyarrow",
    "peft",
    "flwr",
    "onnx",
    "rasterio",
    "cfgrib",
    "eccodes",
}
MAY_USE_TORCH = ("cranpm/model/", "cranpm/train/", "cranpm/data/batch.py", "cranpm/data/dataset.py")
MAY_USE_TORCH += ("cranpm/composition/deepcams/", "cranpm/composition/coupling/")
MAY_USE_TORCH += ("cranpm/forecast/torch_engine.py",)
FREE_OF_WEIGHT = ("commands.py", "cli.py", "lazy.py", "doctor.py", "errors.py", "options.py", "__main__.py")
LIGHT = {"typer", "click", "rich", "cranpm"}


def files(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py"))


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every import of a file, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node.lineno, name) for name in imported(node))


def top_level_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Imports that run when the file is imported: not those in functions, not those for type checkers."""
    queue: list[ast.AST] = [ast.parse(path.read_text())]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node.lineno, name) for name in imported(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            queue += node.orelse
        else:
            queue += ast.iter_child_nodes(node)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_point_inward(folder):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files(folder)
        for line, name in imports(path)
        if any(within(name, outer) for outer in OUTER[folder])
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_top_level_folders_are_imported_under_their_package_name(folder):
    """`import regions` would reach another project of that name on PyPI."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files(folder)
        for line, name in imports(path)
        if name.split(".")[0] in ("regions", "adapt", "export", "clients", "tests")
    ]
    assert not wrong, "\n".join(wrong)


def test_no_relative_imports():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in FOLDERS
        for path in files(folder)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", ("cranpm", "regions"))
def test_what_only_extras_bring_is_imported_inside_functions(folder):
    """Torch stays out of a base install: only the network, its training and its engine import it."""
    wrong = []
    for path in files(folder):
        name = str(path.relative_to(ROOT))
        free = {"torch", "safetensors"} if name.startswith(MAY_USE_TORCH) else set()
        free |= {"lightning"} if name.startswith(("cranpm/train/", "cranpm/composition/")) else set()
        for line, module in top_level_imports(path):
            if module.split(".")[0] in EXTRA_ONLY - free:
                wrong.append(f"{name}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_the_base_install_imports_without_any_extra():
    """Every module but those that are made of torch, in a process where no extra can be imported."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in files("cranpm")
        if not str(path.relative_to(ROOT)).startswith(MAY_USE_TORCH) and path.name != "__main__.py"
    ]
    code = f"""
import importlib, sys
for name in {sorted(EXTRA_ONLY)!r}:
    sys.modules[name] = None
for name in {[*modules, "cranpm.regions.commands", "cranpm.regions.scaffold"]!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_mask_that_takes_a_gigabyte_is_imported_inside_functions():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in FOLDERS
        for path in files(folder)
        for line, name in top_level_imports(path)
        if within(name, "global_land_mask")
    ]
    assert not wrong, "\n".join(wrong)


def test_command_modules_import_nothing_heavy_when_they_are_loaded():
    """Of other libraries only typer, click and rich; of this package only modules that do the same."""
    wrong = []
    for folder in FOLDERS:
        for path in files(folder):
            if path.name in FREE_OF_WEIGHT:
                for line, name in top_level_imports(path):
                    if name.split(".")[0] in LIGHT and light_part(name):
                        continue
                    if not standard(name):
                        wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_composition_is_reached_through_files_only():
    wrong = [
        str(path.relative_to(ROOT))
        for path in files("cranpm")
        if "composition/" not in str(path.relative_to(ROOT))
        for _, name in imports(path)
        if within(name, "cranpm.composition")
    ]
    assert not wrong


def standard(name: str) -> bool:
    return name.split(".")[0] in sys.stdlib_module_names


def light_part(name: str) -> bool:
    """Whether a name is this package's and belongs to a module that is itself held to be free of weight."""
    if not within(name, "cranpm"):
        return True
    modules = name.split(".")[1:]
    return any(f"{module}.py" in FREE_OF_WEIGHT for module in modules) or modules in ([], ["__version__"])
