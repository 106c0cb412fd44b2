"""`cranpm region` as a person uses it."""

from __future__ import annotations

import numpy as np
import pytest

from cranpm.cli import main
from cranpm.region import load_region


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["region", *arguments])
    return int(end.value.code or 0)


@pytest.fixture
def land_everywhere(monkeypatch):
    mask = lambda lats, lons: np.ones(lats.shape, dtype=bool)  # noqa: E731
    monkeypatch.setattr("cranpm.regions.scaffold._one_kilometre_mask", lambda: mask)


def test_the_list_names_the_shipped_packs(capsys):
    assert status("list") == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("europe", "india", "usa_canada"))


def test_show_tells_domain_terms_and_published_figures(capsys):
    assert status("show", "india") == 0
    printed = capsys.readouterr().out
    assert "8.04..37N" in printed and "7.88" in printed and "Copernicus" in printed


def test_check_prints_each_check_and_fails_on_a_problem(capsys, tmp_path):
    assert status("check", "europe") == 0
    assert capsys.readouterr().out.count("ok ") >= 9
    path = tmp_path / "bad.yaml"
    path.write_text(load_region("europe").path.read_text().replace("overlap: 64", "overlap: 0"))
    assert status("check", str(path)) == 2
    printed = capsys.readouterr()
    assert "FAILED  tile overlap" in printed.out and f"{path}:8: overlap: 0 px" in printed.out
    assert printed.err == f"error: {path}: 1 problem; put right what is listed above\n"


def test_new_writes_a_pack_that_check_accepts(capsys, tmp_path, monkeypatch, land_everywhere):
    monkeypatch.chdir(tmp_path)
    assert status("new", "fiji", "--bbox", "177", "-20", "-178", "-12") == 0
    assert "cranpm region eval fiji.yaml" in capsys.readouterr().out
    assert status("check", "fiji.yaml") == 0
    assert load_region("fiji.yaml").fine.edges[2] > 180
    assert status("new", "fiji", "--bbox", "177", "-20", "-178", "-12") == 2
    assert "fiji.yaml exists" in capsys.readouterr().err


def test_new_refuses_an_impossible_box_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status("new", "here", "--bbox", "1", "3", "2", "2") == 2
    assert "south < north" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
