"""The command that shows a federation on the sample world, from nothing to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cranpm.cli import main
from cranpm.clients.agency import Agency
from cranpm.clients.book import Book
from cranpm.clients.places import PLACES, agency_days, public_days
from cranpm.errors import CranpmError
from cranpm.region import load_region


def test_the_places_are_of_different_packs_and_their_days_are_not_those_that_models_are_scored_on():
    assert len(PLACES) == 4 and len({place.region for place in PLACES}) == 3
    days = {*agency_days(148), *public_days(148)}
    for place in PLACES:
        assert not {day.year for day in days} & set(load_region(place.region).split.test)
        fine, coarse = place.window.fine.edges, place.window.coarse.edges
        assert coarse[0] < fine[0] and coarse[1] < fine[1] and fine[2] < coarse[2] and fine[3] < coarse[3]
    assert not set(agency_days(148)) & set(public_days(148))


@pytest.mark.slow
def test_four_simulated_agencies_leave_rounds_adapters_and_a_report(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("CRANPM_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "federation"
    with pytest.raises(SystemExit) as end:
        main(["federate", "simulate", "--quick", "--out", str(out)])
    assert end.value.code == 0
    lines = Book(out).lines
    assert [line.round for line in lines] == [0, 1, 2] and all(line.simulated for line in lines)
    assert lines[0].public is not None
    assert {answer.agency for answer in lines[2].answers} == {place.name for place in PLACES}
    assert (out / "rounds" / "0002" / "adapter_model.safetensors").is_file()
    text = (out / "report.html").read_text()
    assert "Simulated:" in text and text.count("data:image/png") == 1 + len(PLACES)
    told = json.loads((out / "choices.json").read_text())
    assert set(told) == {place.name for place in PLACES}
    shares = Agency(out / "agencies" / "delhi").shares
    assert not set(shares.select) & set(shares.score)
    assert "(simulated)" in capsys.readouterr().out
    with pytest.raises(SystemExit) as again:
        main(["federate", "simulate", "--quick", "--out", str(out)])
    assert again.value.code == 2


def test_a_method_that_nobody_knows_is_refused(tmp_path: Path):
    from cranpm.clients.commands import simulate

    with pytest.raises(CranpmError, match="'fedsgd': expected one of fedavg"):
        simulate(tmp_path, method="fedsgd", rounds=None, steps=None)
