"""The vault from the command line."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ghost_tracking.__main__ import main
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook

START = datetime(2025, 5, 30, 22, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> str:
    vault = ParquetVaultHook(root=tmp_path / "vault")
    vault.stage([MetricPoint("video", START + hour * timedelta(hours=1), hour, None, 0, None) for hour in range(30)])
    vault.archive_videos([{"video_id": "video", "title": "Linear algebra", "channel_title": "Channel"}])
    return str(tmp_path / "vault")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(list(arguments))
    return code, capsys.readouterr().out


def test_a_vault_is_looked_after(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command, counted in [("seal", "sealed_count"), ("compact", "compacted_count")]:
        code, out = run(capsys, "--vault", root, command)
        assert (code, json.loads(out)[counted] > 0) == (0, True)
    code, out = run(capsys, "--vault", root, "health")
    assert (code, json.loads(out)["points"]) == (0, 30)
    code, out = run(capsys, "--vault", root, "verify")
    assert (code, json.loads(out)["hours"], json.loads(out)["problems"]) == (0, 30, [])
    code, out = run(capsys, "--vault", root, "history", "video")
    assert (code, len(out.splitlines())) == (0, 31)
    code, out = run(capsys, "--vault", root, "find", "linear", "alg")
    assert (code, "Linear algebra" in out) == (0, True)


def test_what_is_broken_is_said_and_repaired(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("seal", "compact"):
        run(capsys, "--vault", root, command)
    (file,) = (Path(root) / "metrics/date=2025-05-31/hour=07").iterdir()
    file.write_bytes(b"broken")
    for command in ("health", "verify"):
        code, out = run(capsys, "--vault", root, command)
        assert (code, "hour=07/stats.parquet" in out) == (1, True)
    assert run(capsys, "--vault", root, "repair")[0] == 0
    assert run(capsys, "--vault", root, "verify", "--days", "100000")[0] == 0


def test_expiry_only_counts_unless_told_to_delete(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "--vault", root, "seal")
    assert json.loads(run(capsys, "--vault", root, "expire", "30")[1])["points"] == 30
    assert json.loads(run(capsys, "--vault", root, "health")[1])["points"] == 30
    assert run(capsys, "--vault", root, "expire", "30", "--delete")[0] == 0
    assert json.loads(run(capsys, "--vault", root, "health")[1])["points"] == 0


@pytest.mark.parametrize("wrong", [("expire", "0"), ("expire", "-3"), ("verify", "--days", "0")])
def test_less_than_a_day_is_refused(wrong: tuple[str, ...], root: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--vault", root, *wrong])
    assert "less than a day" in capsys.readouterr().err


def test_a_history_is_asked_for_by_any_id_or_url(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    vault = ParquetVaultHook(root=root)
    vault.append_metrics([{"video_id": "-l_ptLwA6Sc", "timestamp": START, "views": 7}])
    for reference in ("-l_ptLwA6Sc", "https://www.youtube.com/watch?v=-l_ptLwA6Sc", "youtu.be/-l_ptLwA6Sc"):
        code, out = run(capsys, "--vault", root, "history", reference)
        assert (code, len(out.splitlines())) == (0, 2)


def test_a_video_without_points_is_said_to_have_none(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--vault", root, "history", "9LfmrkyP81M"]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "The vault has no point of video 9LfmrkyP81M\n")
    with pytest.raises(SystemExit):
        main(["--vault", root, "history", "https://example.com/9LfmrkyP81M"])
    assert "nor the URL of a video" in capsys.readouterr().err


def test_a_vault_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--vault", str(tmp_path / "nowhere"), "verify"]) == 1
    assert "nowhere is not there" in capsys.readouterr().err
