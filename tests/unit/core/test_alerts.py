"""When an alert is due."""

from datetime import UTC, datetime, timedelta

import pytest

from ghost_tracking.core.alerts import AlertInputs, AlertThresholds, Kind, alerts

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = AlertThresholds(backlog=None, quota=None, no_data=HOUR)


@pytest.mark.parametrize(
    ("newest", "oldest_due", "told"),
    [
        (NOW - 2 * HOUR, NOW - 2 * HOUR, True),
        (NOW - HOUR / 2, NOW - 2 * HOUR, False),
        (NOW - 2 * HOUR, NOW - HOUR / 2, False),
        (NOW + timedelta(seconds=5), NOW - 2 * HOUR, False),
        (NOW + 365 * 24 * HOUR, NOW - 2 * HOUR, True),  # by a clock that was wrong: it says nothing of today
        (NOW + 365 * 24 * HOUR, NOW - HOUR / 2, False),
        (None, NOW - 2 * HOUR, True),
    ],
)
def test_a_point_of_the_future_does_not_hide_the_silence(
    newest: datetime | None, oldest_due: datetime, told: bool
) -> None:
    seen = AlertInputs(NOW, 0, oldest_due, newest, None, NOW + 8 * HOUR)
    assert [alert.kind for alert in alerts(seen, LIMITS)] == ([Kind.NO_DATA] if told else [])
