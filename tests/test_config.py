"""The strict YAML reader: what it accepts, and the line it names when it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cranpm.config import parse_document, read_config
from cranpm.errors import CranpmError


@dataclass(frozen=True)
class Optimizer:
    rate: float
    steps: int = 10


@dataclass(frozen=True)
class Recipe:
    name: str
    optimizer: Optimizer
    kind: Literal["quick", "full"] = "quick"
    years: tuple[int, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)
    weights: dict[str, float] | None = None
    resume: bool = False
    out: Path | None = None
    facts: dict[str, float | str] | None = None


def parse(text: str) -> Recipe:
    return parse_document(text, Recipe, source="recipe.yaml").value


def refusal(text: str) -> str:
    with pytest.raises(CranpmError) as error:
        parse(text)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_kind_of_value_arrives_with_its_type():
    recipe = parse(
        "name: europe\noptimizer: {rate: 1e-3, steps: 20}\nkind: full\nyears: [2017, 2018]\nspan: [1, 2.5]\n"
        "weights: {mse: 1, ffl: 0.1}\nresume: true\nout: runs/a\nfacts: {rmse: 7, source: the paper}\n"
    )
    assert recipe == Recipe(
        "europe", Optimizer(0.001, 20), "full", (2017, 2018), (1.0, 2.5), {"mse": 1.0, "ffl": 0.1}, True,
        Path("runs/a"), {"rmse": 7.0, "source": "the paper"},
    )  # fmt: skip
    assert isinstance(recipe.span[0], float)


def test_fields_with_a_default_may_be_left_out():
    assert parse("name: x\noptimizer: {rate: 1}\n") == Recipe("x", Optimizer(1.0))


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("name: x\noptimiser: {rate: 1}\n", 2, ["unknown key 'optimiser'", "did you mean 'optimizer'?"]),
        ("name: x\noptimizer:\n  rate: 1\n  stepps: 2\n", 4, ["'stepps' in 'optimizer'", "did you mean 'steps'?"]),
        ("name: x\noptimizer:\n  rate: fast\n", 3, ["optimizer.rate", "expected a number", "fast"]),
        ("name: x\noptimizer:\n  rate: 1\n  steps: 2.5\n", 4, ["optimizer.steps", "a whole number", "2.5"]),
        ("name: x\noptimizer:\n  rate: true\n", 3, ["expected a number", "true/false"]),
        ('name: x\noptimizer:\n  rate: "1"\n', 3, ["expected a number", "text"]),
        ("name: no\noptimizer: {rate: 1}\n", 1, ["expected text", "true/false (no)", "quotes"]),
        ("name: x\n", 1, ["missing key 'optimizer'"]),
        ("name: x\noptimizer:\n  steps: 2\n", 3, ["missing key 'rate' in 'optimizer'"]),
        ("name: x\nname: y\noptimizer: {rate: 1}\n", 2, ["'name' is written twice", "line 1"]),
        ("name: x\noptimizer: {rate: 1}\nkind: slow\n", 3, ["'slow' is none of quick, full"]),
        ("name: x\noptimizer: {rate: 1}\nspan: [1]\n", 3, ["1 values, expected 2"]),
        ("name: x\noptimizer: {rate: 1}\nyears:\n- 2017\n- later\n", 5, ["years[1]", "a whole number"]),
        ("name: x\noptimizer: {rate: .nan}\n", 2, ["expected a number"]),
        ("name: x\noptimizer: [1]\n", 2, ["expected a mapping", "a list"]),
        ("name: x\noptimizer: {rate: 1\n", 3, ["not valid YAML"]),
        ("name: x\n\toptimizer: 1\n", 2, ["not valid YAML"]),
        ("- 1\n", 1, ["the file: expected a mapping"]),
        ("", 1, ["the file is empty", "name, optimizer"]),
        ("name: &a x\noptimizer: *a\n", 2, ["aliases"]),
    ],
)
def test_a_refusal_names_the_line_and_the_reason(text, line, parts):
    message = refusal(text)
    assert message.startswith(f"recipe.yaml:{line}: ")
    for part in parts:
        assert part in message


def test_tags_never_run_code(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: !!python/object/apply:os.mkdir [pwned]\noptimizer: {rate: 1}\n")
    with pytest.raises(CranpmError, match=r"recipe.yaml:1: name: the tag .* is not read"):
        read_config(path, Recipe)
    assert not Path("pwned").exists()


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(CranpmError, match="cannot be read"):
        read_config(tmp_path / "absent.yaml", Recipe)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(CranpmError, match="not a text file"):
        read_config(binary, Recipe)


@given(st.text(max_size=80))
def test_no_text_does_worse_than_a_one_line_error(text):
    try:
        parse(text)
    except CranpmError as error:
        assert str(error).startswith("recipe.yaml:")
