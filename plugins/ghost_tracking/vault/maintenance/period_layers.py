"""The layers of one file a day or a month, which are proven, counted, repaired and expired by the same rules."""

from typing import Final

from ghost_tracking.vault import availability, discoveries
from ghost_tracking.vault.period_files import PeriodLayer

PERIOD_LAYERS: Final[tuple[PeriodLayer, ...]] = (availability.LAYER, discoveries.LAYER)
