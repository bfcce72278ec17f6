"""Expected errors are those of the documentation, and what lies between them."""

from itertools import pairwise

import pytest

from documentation import ROOT
from ghost_tracking.core.policies import Policy
from ghost_tracking.core.replayed import REPLAYED, Errors, expected_errors

ROWS = {
    Policy.TIERS: ["a quarter: tiers", "half the quota: tiers"],
    Policy.THRIFTY: ["thrifty, to save three quarters", "thrifty, to save half"],
    Policy.ADAPTIVE: ["adaptive, a quarter", "adaptive, half as many", "adaptive, as many readings"],
}


def documented() -> dict[str, list[float]]:
    """The rows of the table of sixty days: the share of readings, and four errors, without what is in brackets."""
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    table = text.partition("| sixty days, against all slots of the tiers |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0]: [float(cell.split()[0]) for cell in row[1:6]] for row in rows}


@pytest.mark.parametrize("policy", Policy)
def test_the_replays_are_those_of_the_documentation(policy: Policy) -> None:
    found = documented()
    told = [(share, *errors.as_dict().values()) for share, errors in REPLAYED[policy]]
    wanted = [tuple(found[row]) for row in ROWS[policy]]
    assert told[: len(wanted)] == wanted
    assert told[len(wanted) :] in ([], [(1.0, 1, 1, 1, 1)])


@pytest.mark.parametrize("policy", Policy)
def test_more_readings_leave_smaller_errors(policy: Policy) -> None:
    for share, errors in REPLAYED[policy]:
        found = expected_errors(policy, share)
        assert found is not None
        assert list(found.as_dict().values()) == pytest.approx(list(errors.as_dict().values()))
    shares = [0.25 + step / 100 for step in range(77)]
    between = [found for share in shares if (found := expected_errors(policy, share))]
    assert len(between) == len(shares)
    for less, more in pairwise(between):
        for name in Errors.__dataclass_fields__:
            assert getattr(less, name) >= getattr(more, name) - 1e-9


def test_nobody_knows_what_was_not_replayed() -> None:
    assert expected_errors(Policy.TIERS, 0.2) is None
    assert expected_errors(Policy.ADAPTIVE, 50) == expected_errors(Policy.ADAPTIVE, 1.01)
