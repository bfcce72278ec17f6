"""The prepared layer as forgetting sees it: gains that are staged, those of hours, and the figures made of them."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.vault import layout
from ghost_tracking.vault.maintenance.layers import Layer
from ghost_tracking.vault.prepared import figures
from ghost_tracking.vault.prepared.gain_files import hour_of
from ghost_tracking.vault.prepared.gains import Gains


class StagedGains(Layer):
    """Parts that are not merged yet: they go first, else they would be merged again."""

    name = "staged gains"

    def keys(self) -> list[str]:
        return self._walked(layout.STAGED_GAINS)

    def remove(self, key: str) -> None:
        with self._storage.lock(layout.GAINS_LOCK, self._lock_timeout):
            self._put_rewritten(key)


class HoursOfGains(Layer):
    """The largest gains of each hour."""

    name = "gains"

    def keys(self) -> list[str]:
        hours = Gains(self._storage, self._lock_timeout).hours()
        return [layout.gains(hour) for hour in hours if hour.meets(self._since, None)]

    def remove(self, key: str) -> None:
        hour = hour_of(key.rpartition("/")[2])
        if hour is not None:
            Gains(self._storage, self._lock_timeout).forget(hour, self._left_of)

    def _left_of(self, table: pa.Table) -> pa.Table:
        return table.filter(pc.invert(self._wanted.among(table)))


class Figures(Layer):
    """What the page shows of movers, and of who came back or vanished."""

    name = "figures"

    def keys(self) -> list[str]:
        return [key for key, _ in figures.kinds() if self._storage.version(key) is not None]

    def rows(self, key: str) -> int:
        found, _ = dict(figures.kinds())[key].load(self._storage, key)
        return sum(1 for video_id in figures.named(found) if video_id in self._wanted)

    def remove(self, key: str) -> None:
        figures.without(self._storage, key, self._wanted.__contains__)


PREPARED_LAYERS: Final[tuple[type[Layer], ...]] = (StagedGains, HoursOfGains, Figures)
