"""How files and folders come into their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cranpm.folders import swap_folder


def folder_of(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "content").write_text(text)
    return path


def test_a_swapped_folder_takes_the_name_and_leaves_nothing_else(tmp_path: Path) -> None:
    old, new = folder_of(tmp_path / "map.zarr", "old"), folder_of(tmp_path / "new", "new")
    swap_folder(new, old)
    assert [path.name for path in tmp_path.iterdir()] == ["map.zarr"]
    assert (old / "content").read_text() == "new"


def test_a_folder_whose_successor_cannot_come_stays(tmp_path: Path) -> None:
    old = folder_of(tmp_path / "map.zarr", "old")
    with pytest.raises(OSError):
        swap_folder(tmp_path / "absent", old)
    assert (old / "content").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["map.zarr"]
