"""A list of videos is brought from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ghost_tracking.__main__ import main
from ghost_tracking.commands import lists
from ghost_tracking.vault import import_queue


def run(vault: Path, *arguments: str) -> int:
    return main(["--vault", str(vault), "list", *arguments])


def test_a_list_is_brought_and_every_bad_line_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    vault, file = tmp_path / "vault", tmp_path / "list.csv"
    file.write_text("Title;Video\nOne;dQw4w9WgXcQ\nTwo;https://youtu.be/x_BjvhMW9TE\n", encoding="utf-16")
    assert run(vault, "add", str(file), "--name", "mine") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "mine", "ids": 2, "new": 2, "duplicates": 0, "bad": 0}

    file.write_bytes(b"\xef\xbb\xbfid\r\ndQw4w9WgXcQ\r\n\xff\xff\r\n-tJYN-eG1zk\r\n" + b"? ?\r\n" * 20)
    assert run(vault, "add", str(file), "--name", "mine") == 1
    said = capsys.readouterr()
    assert (json.loads(said.out)["new"], json.loads(said.out)["bad"]) == (1, 21)
    assert said.err.startswith("line 3: '\ufffd\ufffd': neither a video id nor the URL of a video: ")
    assert "\nline 5: '? ?': " in said.err
    assert said.err.endswith("and 11 more lines without a video\n")

    assert run(vault, "status") == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "mine" in line]
    assert [cell.strip() for cell in row.split("│")][3:7] == ["3", "0", "3", "21"]


def test_what_cannot_be_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("id;name\nx;y\n")
    for arguments, said in [
        ((str(file), "--column", "video"), "no column 'video': its first line has 2 columns"),
        ((str(file), "--name", "a/b"), "'a/b' is no name for a list"),
        ((str(tmp_path / "missing"),), "missing cannot be read: No such file"),
        ((str(tmp_path),), "cannot be read: Is a directory"),
    ]:
        assert run(tmp_path / "vault", "add", *arguments) == 1
        assert said in capsys.readouterr().err


def test_a_list_that_takes_long_shows_how_far_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(import_queue, "IDS_A_FILE", 1_000)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    file = tmp_path / "list.txt"
    file.write_text("".join(f"{number:011d}\n" for number in range(3_000)))
    assert run(tmp_path / "vault", "add", str(file)) == 0
    assert "lines" in capsys.readouterr().err


def test_a_list_is_piped_in(tmp_path: Path) -> None:
    plugins = str(Path(__file__).parents[3] / "plugins")
    done = subprocess.run(
        [sys.executable, "-m", "ghost_tracking", "--vault", str(tmp_path), "list", "add", "-"],
        input=b"dQw4w9WgXcQ\n",
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": plugins},
    )
    assert json.loads(done.stdout)["new"] == 1


def test_bad_lines_are_listed_and_tried_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    vault, file = tmp_path / "vault", tmp_path / "list.csv"
    file.write_text("video_id,other\n-tJYN-eG1zk,x\nno,dQw4w9WgXcQ\n")
    assert run(vault, "add", str(file), "--name", "mine") == 1
    capsys.readouterr()
    assert run(vault, "bad", "mine") == 0
    assert capsys.readouterr().out.startswith("line 3: 'no,dQw4w9WgXcQ': neither a video id nor")
    assert run(vault, "retry", "mine") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "mine", "ids": 1, "new": 1, "duplicates": 0, "bad": 0}
    assert run(vault, "bad", "mine") == 0
    assert capsys.readouterr().out == ""
    assert run(vault, "retry", "other") == 1
    assert "no list 'other'" in capsys.readouterr().err


def test_what_could_be_either_column_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    vault, file = tmp_path / "vault", tmp_path / "list.csv"
    file.write_text("left,right\n-tJYN-eG1zk,dQw4w9WgXcQ\n")
    assert run(vault, "add", str(file)) == 1
    assert "The columns 'left' and 'right' of the list could each" in capsys.readouterr().err
    assert run(vault, "status") == 0
    assert "-tJYN" not in capsys.readouterr().out
    assert run(vault, "add", str(file), "--column", "right") == 0
