"""Plans of reading whose effects a test can tell by hand."""

import math
from datetime import timedelta

from ghost_tracking.core.policies import ReadingPlan
from ghost_tracking.core.worth import ReadingRule, Shares, Sums

_LEAST_GAIN = 0.7 * 6.5 / 167
"""The estimate, in views an hour, after an interval of 167 hours with six or seven views and none before."""

SEVEN_A_WEEK = ReadingPlan(
    rule=ReadingRule(Sums(1, 1.0, 1.0), 1 / (24 * math.sqrt(_LEAST_GAIN)), Shares(1, 0, 0)),
    promoted_for=timedelta(days=7),
)
"""A settled video that stood still is promoted by the reading, 167 hours later, that finds seven views more."""
