"""The doctor: what is there, and the pip line for what is not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from cranpm import cli, doctor


def test_what_is_missing_comes_with_its_pip_line(monkeypatch):
    installed = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("torch", "scores") else installed(name))
    report = doctor.examine()
    assert report["packages"]["torch"] is None
    assert report["commands"]["train"] == 'pip install "cranpm[train]"'
    assert report["commands"]["region eval, fit"] == 'pip install "cranpm[verify,train]"'
    assert report["commands"]["region list, show, check, new"] is None


def test_extras_are_those_of_the_package():
    extras = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for extra, packages in doctor.OPTIONAL.items():
        declared = " ".join(extras[extra]).lower()
        assert all(package.lower() in declared for package in packages)
    assert {extra for needs in doctor.NEEDS.values() for extra in needs} <= set(doctor.OPTIONAL)


def test_every_command_of_the_root_is_examined():
    assert {command.split()[0] for command in doctor.NEEDS} == set(cli.COMMANDS) - {"doctor"}


def test_the_report_is_printed_as_json_and_as_tables(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CRANPM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "_devices", lambda: {"onnxruntime": ["CPUExecutionProvider"], "torch": "not installed"})
    doctor.doctor(as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["cache"]["folder"] == str(tmp_path / "cache") and report["cache"]["writable"]
    assert report["machine"]["cores"] >= 1
    monkeypatch.setattr(doctor, "missing_extras", lambda extras: list(extras))
    doctor.doctor(as_json=False)
    printed = capsys.readouterr().out
    assert "numpy" in printed and "cranpm[train]" in printed and "CPUExecutionProvider" in printed
