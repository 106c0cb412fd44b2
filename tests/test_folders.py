"""A file is there whole or not at all."""

from pathlib import Path

import pytest

from cranpm.folders import cache_folder, swap_folder, write_whole


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "file"
    write_whole(path, b"old")

    def full(part: Path, target: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, b"new")
    assert [file.read_bytes() for file in path.parent.iterdir()] == [b"old"]


def test_cache_folder_is_the_one_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRANPM_CACHE", "~/there")
    assert cache_folder() == Path.home() / "there"
    monkeypatch.setenv("CRANPM_CACHE", "")
    assert cache_folder() == Path.home() / ".cache" / "cranpm"


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
