"""Audits: how wrong what was known of a video was, and what many of them say of all."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from ghost_tracking.core.audits import Audit, AuditErrors, AuditPick, Estimate
from ghost_tracking.core.tiers import Queue

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_an_audit_tells_how_wrong_the_newest_count_and_the_line_between_its_neighbours_are() -> None:
    audit = AuditPick("v", Queue.DAILY, 90, NOW - HOUR).read(NOW, 150)
    assert audit.held_error == 60
    assert audit.held_log_error == pytest.approx(math.log(160 / 100))
    assert (audit.on_the_curve, audit.curve_error, audit.curve_log_error) == (None, None, None)
    closed = Audit("v", Queue.DAILY, 90, NOW - HOUR, NOW, 150, NOW + 2 * HOUR, 210)
    assert closed.on_the_curve == 130
    assert closed.curve_error == 20
    assert closed.curve_log_error == pytest.approx(math.log(160 / 140))
    # one whose next reading is no later than what was known has no line
    assert Audit("v", Queue.DAILY, 90, NOW, NOW, 150, NOW, 210).on_the_curve is None


def test_an_estimate_says_how_far_it_may_be_off() -> None:
    assert Estimate.of([]) is None
    assert Estimate.of([1.0]) is None
    found = Estimate.of([1.0, 2.0, 3.0, 6.0])
    assert found is not None
    assert (found.mean, found.audits) == (3.0, 4)
    assert found.within == pytest.approx(1.96 * math.sqrt(14 / 3 / 4))


def test_the_errors_of_curves_are_those_of_audits_with_a_reading_after_them() -> None:
    opened = [Audit("v", Queue.DAILY, 0, NOW - HOUR, NOW, 10 * n) for n in range(3)]
    closed = [Audit("w", Queue.ROSTER, 0, NOW - HOUR, NOW, 10, NOW + HOUR, 10 + n) for n in (0, 10)]
    errors = AuditErrors.of([*opened, *closed])
    assert errors.held is not None
    assert (errors.held.mean, errors.held.audits) == (10.0, 5)
    assert errors.curve is not None
    assert (errors.curve.mean, errors.curve.audits) == (2.5, 2)
    assert AuditErrors.of(opened).curve is None
