"""The package: complete on disk, in the wheel and in the sdist, and usable from the wheel alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {"cranpm": "cranpm", "regions": "cranpm/regions", "adapt": "cranpm/adapt"}
FOLDERS |= {"export": "cranpm/export", "clients": "cranpm/clients"}
"""Top-level folder, and where it lies in an installed package."""
PACKAGED = {".py", ".typed", ".bundle", ".yaml", ".json", ".safetensors", ".npz", ".nc"}


def sources() -> dict[str, Path]:
    """Every module and data file of the checkout, by its path in the wheel."""
    found = {}
    for folder, inside in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in PACKAGED and "__pycache__" not in path.parts:
                found[f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"] = path
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """A wheel made from the sdist, and the sdist, built from a copy of the checkout."""
    copy, out = tmp_path_factory.mktemp("checkout") / "cranpm", tmp_path_factory.mktemp("dist")
    unwanted = shutil.ignore_patterns(".git", ".venv", ".lint", "__pycache__", "*.egg-info", "build", "reports", "runs")
    shutil.copytree(ROOT, copy, ignore=unwanted)
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--skip-dependency-check",
        "--outdir",
        str(out),
        str(copy),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_the_packages_listed_are_those_on_the_disk():
    listed = set(PYPROJECT["tool"]["setuptools"]["packages"])
    folders = {Path(name).parent.as_posix() for name in sources() if name.endswith(".py")}
    assert listed == {folder.replace("/", ".") for folder in folders}


def test_every_package_says_what_it_is():
    for name, path in sources().items():
        if name.endswith("__init__.py"):
            assert path.read_text().startswith('"""'), f"{name} has no docstring"


def test_the_wheel_holds_every_module_and_data_file(built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
    missing = [name for name in sources() if name not in names]
    assert not missing
    stray = [name for name in names if not name.startswith(("cranpm/", "cranpm-"))]
    assert not stray, "the top-level folders must install inside the package"


def test_the_wheel_is_small_enough_to_carry_weights_and_little_else(built):
    assert built[0].stat().st_size < 16e6  # four small networks of the sample world, and one of them as a bundle


def test_the_sdist_holds_what_a_packager_needs(built):
    with tarfile.open(built[1]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "Makefile", "constraints.txt"}
    wanted |= {"pyproject.toml", "tests/test_packaging.py", "regions/packs/india.yaml", "cranpm/py.typed"}
    wanted |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    assert not wanted - names


def test_an_empty_environment_lists_the_packs_from_the_wheel(built, tmp_path):
    """cranpm comes from the wheel; only its dependencies are lent by this environment."""
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=120)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(built[0])], check=True, timeout=120)
    lent = [path for path in sys.path if path.endswith("site-packages")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(lent), "COLUMNS": "120"}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(environment) in run(str(python), "-c", "import cranpm.regions; print(cranpm.regions.__file__)")
    listed = run(str(python.parent / "cranpm"), "region", "list")
    assert all(name in listed for name in ("europe", "india", "usa_canada"))


def test_the_base_install_has_no_torch_and_keeps_flowers_pins():
    base = {line.split(">")[0].split("<")[0].lower(): line for line in PYPROJECT["project"]["dependencies"]}
    assert not {"torch", "scores", "scikit-image", "pyarrow", "onnx", "rasterio"} & set(base)
    assert base["protobuf"].endswith("<7") and base["typer"].endswith("<0.21")
    assert base["rich"].endswith("<15") and base["packaging"].endswith("<26")


def test_the_tested_set_pins_every_requirement():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    assert "torch==2.13.0" in lines
    assert all(line.startswith("#") or "==" in line for line in lines)
    groups = PYPROJECT["project"]["optional-dependencies"]
    required = [*PYPROJECT["project"]["dependencies"], *(line for group in groups.values() for line in group)]
    names = {line.split(">")[0].split("<")[0].lower().replace("_", "-") for line in required}
    assert not {name for name in names if not name.startswith("cranpm[")} - pinned


def test_versions_agree():
    import cranpm

    assert PYPROJECT["project"]["version"] == cranpm.__version__
    assert f"version: {cranpm.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_a_bare_checkout_reaches_the_top_level_folders():
    code = "import cranpm.regions, cranpm.adapt, cranpm.export, cranpm.clients; print(cranpm.regions.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(ROOT / "regions" / "__init__.py"), done.stderr
