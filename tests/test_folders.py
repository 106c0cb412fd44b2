"""A file is there whole or not at all."""

from pathlib import Path

import pytest

from cranpm.folders import cache_folder, write_whole


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
