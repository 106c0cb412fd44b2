"""What a person sees of a federation: tables and a page, from rounds.jsonl alone; and that the book is what it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cranpm.clients.book import Answer, Book, Line
from cranpm.clients.choice import Choice
from cranpm.clients.message import SCALARS
from cranpm.clients.report import write_report
from cranpm.clients.status import rejected, show
from cranpm.errors import CranpmError

TENSORS = {"base_model.model.x.lora_A.weight": np.ones((2, 3), np.float32)}
TOLD = {**dict.fromkeys(SCALARS, 1.0), "rmse": 8.0, "persistence": 10.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two rounds: in the second an agency whose name is markup sends nonsense, and the aggregate does not count."""
    book = Book(tmp_path)
    good = [Answer("north", True, "", TOLD, 0.5, 0.8, 1000, 900), Answer("south", True, "", TOLD, 0.4, 1.0, 1000, 900)]
    bad = Answer("<b>east</b>", False, "'x' is not finite", {}, None, 1.0, 1000, 0)
    book.write(Line(0, True, "", (), 0.95, None, "", 0.0, True), TENSORS, {"r": 2})
    book.write(Line(1, True, "", tuple(good), 0.9, 0.12, "", 3.0, True), TENSORS, {"r": 2})
    book.write(Line(2, False, "public days: worse", (*good, bad), 1.2, 0.1, "", 3.0, True), TENSORS, {"r": 2})
    (tmp_path / "federation.yaml").write_text("rounds: 2\n")
    told = {
        "north": {"zero_shot": 9.0, "local": 8.0, "global": 8.5, "personal": 7.5, "chosen": 3},
        "south": {},
        "west": {"problem": "[/x] markup"},
    }
    (tmp_path / "choices.json").write_text(json.dumps(told))
    return tmp_path


def test_the_status_names_who_was_rejected_and_why(folder: Path):
    console = Console(record=True, width=160)
    show(folder, console)
    text = console.export_text()
    assert "round 2: <b>east</b> rejected: 'x' is not finite" in text
    assert "the adapter stays as it was: public days: worse" in text
    assert "the federation's adapter, trained further alone" in text and "keeps its scores to itself" in text
    assert "[/x] markup" in text
    assert "(simulated)" in text and "80 %" in text
    assert len(rejected(Book(folder).lines)) == 2


def test_the_report_is_one_file_that_fetches_nothing_and_escapes_names(folder: Path):
    text = write_report(folder).read_text()
    assert "Simulated:" in text and "public days: worse" in text
    assert "<b>east</b>" not in text and "&lt;b&gt;east&lt;/b&gt;" in text
    assert "http://" not in text and "https://" not in text and text.count("data:image/png") == 1


def test_a_round_that_is_written_again_replaces_itself_and_what_came_after(folder: Path):
    book = Book(folder)
    book.write(Line(1, True, "", (), 0.8, None, "", 1.0, True), {**TENSORS}, {"r": 2})
    assert [line.round for line in book.lines] == [0, 1] and book.lines[1].public == 0.8


def test_an_adapter_that_was_altered_is_not_gone_on_with(folder: Path):
    book = Book(folder)
    assert (book.tensors(1)["base_model.model.x.lora_A.weight"] == 1).all()
    path = folder / "rounds" / "0001" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CranpmError, match=r"not what rounds\.jsonl says"):
        book.tensors(1)


def test_a_book_that_was_altered_is_refused(folder: Path):
    with (folder / "rounds.jsonl").open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(CranpmError, match="not as it was written"):
        _ = Book(folder).lines


def test_no_round_yet_says_how_to_begin(tmp_path: Path):
    with pytest.raises(CranpmError, match="cranpm federate run"):
        show(tmp_path, Console())


def test_the_recommendation_names_numbers_and_simulation():
    scores = {"zero_shot": 9.0, "local": 8.0, "global": 8.5, "personal": 7.5}
    strengths = {**dict.fromkeys(scores, 1.0), "personal": 0.5}
    made = Choice("personal", strengths, scores, scores, 10.0, "2021-01-01", "2021-02-01", True)
    assert made.sentence == (
        "Use the federation's adapter, trained further alone, at strength 0.5: RMSE 7.50 ug m-3 on days that nothing "
        "was chosen by (simulated); the base 9.00, alone 8.00."
    )
    assert made.scalars()["chosen"] == 3


def test_the_status_needs_no_torch(folder: Path):
    code = (
        "import sys\nfor name in ('torch', 'flwr', 'peft'):\n    sys.modules[name] = None\n"
        f"from cranpm.cli import main\nmain(['federate', 'status', {str(folder)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("report.html")
