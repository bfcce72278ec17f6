"""Where videos came from is written down before they are put on the schedule.

In this order whoever is killed in between leaves a discovery of a video that is not on the schedule, which is true all
the same: the source has named it, and names it again. In the other one a form or a list, which names a video once,
would leave a video on the schedule that came from nowhere. So all that the hunter puts there has its discovery, staged
durably, or the run has failed before.
"""

from collections.abc import Iterable

from more_itertools import chunked

from ghost_tracking.core.origins import Discovered
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.vault import Vault

_AT_A_TIME = 100_000


def record(discovered: Iterable[Discovered], watchlist: Schedule, vault: Vault) -> None:
    """Stage what sources have named, but of videos that somebody has had forgotten; OSError where that fails.

    Holds 100,000 at a time.
    """
    for some in chunked(discovered, _AT_A_TIME):
        forgotten = watchlist.let_go.forgotten({each.video_id for each in some})
        vault.stage_discoveries(each for each in some if each.video_id not in forgotten)
