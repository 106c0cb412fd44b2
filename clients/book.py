"""What a coordinator keeps: a line for every round and every round's adapter, so that a killed run goes on.

FOLDER/rounds.jsonl          one line a round: who took part, scores, bytes, who was rejected and why
FOLDER/choices.json          what agencies told after the last round
FOLDER/rounds/0003/          the adapter after round 3 in float32, as peft's two files (0000: where all begin)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.clients.message import Tensors
from cranpm.clients.tensors import read_file, write_file
from cranpm.errors import CranpmError
from cranpm.folders import swap_folder, write_whole

LINES, ROUNDS, CHOICES = "rounds.jsonl", "rounds", "choices.json"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True)
class Answer:
    """What one agency did in a round.

    Attributes:
        agency: its name.
        accepted: whether its reply counted.
        reason: why not; empty where it did.
        scalars: what it told (`cranpm.clients.message.SCALARS`).
        norm: length of its update.
        clipped: the factor that it was shortened by; 1 where it was not.
        bytes_down, bytes_up: of the tensors sent to it and back.
    """

    agency: str
    accepted: bool
    reason: str = ""
    scalars: dict[str, float] = field(default_factory=dict)
    norm: float | None = None
    clipped: float = 1.0
    bytes_down: int = 0
    bytes_up: int = 0


@dataclass(frozen=True)
class Line:
    """A round.

    Attributes:
        round: its number, from 1; 0 for the beginning.
        accepted: whether the aggregate became the federation's adapter.
        reason: why not.
        answers: of every agency that was asked.
        public: RMSE over persistence on the coordinator's public days, mean over leads and stores; None without any.
        aggregation_error: what averaging A and B apart cost, relative to the mean update.
        adapter: SHA-256 of the adapter's tensors after the round.
        seconds: how long the round took.
        simulated: whether any of it is of the sample world.
    """

    round: int
    accepted: bool
    reason: str
    answers: tuple[Answer, ...]
    public: float | None
    aggregation_error: float | None
    adapter: str
    seconds: float
    simulated: bool


class Book:
    """The coordinator's record of a federation, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def lines(self) -> list[Line]:
        """All rounds so far, the beginning first.

        Raises:
            CranpmError: the file was altered.
        """
        path = self.folder / LINES
        if not path.exists():
            return []
        try:
            return [_line(json.loads(text)) for text in path.read_text(encoding="utf-8").splitlines()]
        except (KeyError, TypeError, ValueError) as error:
            raise CranpmError(f"{path}: not as it was written ({error}); put back a copy") from error

    def write(self, line: Line, tensors: Tensors, config: dict[str, Any]) -> Line:
        """Keep a round: first its adapter, then its line; a round that was half kept is written again.

        Returns:
            The line, with the adapter's hash.
        """
        folder = self.folder / ROUNDS / f"{line.round:04}"
        new = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        write_file(new / WEIGHTS, tensors)
        write_whole(new / CONFIG, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
        digest = hashlib.sha256((new / WEIGHTS).read_bytes()).hexdigest()
        swap_folder(new, folder)
        line = Line(**{**_shallow(line), "adapter": digest})
        kept = [old for old in self.lines if old.round < line.round]
        text = "".join(json.dumps(asdict(one), allow_nan=False) + "\n" for one in (*kept, line))
        write_whole(self.folder / LINES, text.encode())
        return line

    def tensors(self, number: int) -> dict[str, NDArray[np.float32]]:
        """The adapter after a round.

        Raises:
            CranpmError: it is not what the line says.
        """
        path = self.folder / ROUNDS / f"{number:04}" / WEIGHTS
        line = next((line for line in self.lines if line.round == number), None)
        if line is None or not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != line.adapter:
            raise CranpmError(f"{path}: missing, or not what {LINES} says; put back a copy")
        return read_file(path)


def _shallow(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in Line.__dataclass_fields__}


def _line(values: dict[str, Any]) -> Line:
    return Line(**{**values, "answers": tuple(Answer(**answer) for answer in values["answers"])})
