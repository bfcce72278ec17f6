"""What a load takes, from the command line, which needs no vault for it."""

import json

import pytest

from ghost_tracking.__main__ import main


def test_a_plan_is_a_table_that_fits_into_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--new-per-day", "100000"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    rows = {
        cells[0]: cells[1:] for line in out.splitlines() if len(cells := [c.strip() for c in line.split("│")[1:-1]]) > 1
    }
    assert rows["calls needed a day"][0] == "60,000"
    assert rows["calls made a day"] == ["18,000"] * 4
    assert rows["first day, every"][0] == "3.3 h"
    assert rows["adaptive"][:2] == ["18,000", "900,000"]
    assert out.count("│ thrifty ") == 4
    assert "" not in rows  # every row in a line
    assert "A dash: fewer readings than were replayed." in " ".join(out.split())
    assert "From day 1 on" in out
    assert "The hunter needs 2,000 calls a day" in out


def test_a_plan_whose_hunter_has_enough_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--new-per-day", "100000", "--hunter-holdback", "2500"]) == 0
    assert "The hunter" not in capsys.readouterr().out


def test_a_plan_can_be_read_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--statistics", "100000", "--general", "20000", "--gone-per-week", "0", "--drop-hours", "--days", "28")
    assert main(["plan", "--new-per-day", "100000", *options, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    (month,) = planned["forecasts"]
    assert (month["calls_a_day"], month["slowdown"], planned["short_from_day"]) == (66_000, 1, None)
    assert month["policies"]["thrifty"]["calls_a_day"] == 33_000
    assert month["policies"]["adaptive"]["expected_errors"]["held"] == 0.31


@pytest.mark.parametrize("wrong", [("--new-per-day", "-1"), ("--gone-per-week", "1"), ("--days", "0"), ("--days", "x")])
def test_what_cannot_be_is_refused(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--new-per-day", "5", *wrong])
    assert wrong[0] in capsys.readouterr().err
