"""Where things stand in a vault, as keys: paths relative to its root, with forward slashes.

metrics/date=2026-01-15/hour=10/stats.parquet    what readers see, and nothing else
history/manifest.json                            which hours are compacted into which of these files:
history/day=…/<name>.parquet  history/month=…/…
latest/manifest.json  latest/<name>.parquet      the newest point of every video in them, by ranges of ids
videos/manifest.json  videos/<name>.parquet      metadata, by the same rules
videos/words/<name>.parquet                      the words of the titles in the file of the same name
roster/<name>.parquet                            ids of settled videos, a chunk each
roster/memory/<name>.parquet                     their newest counts, and what they gain
sources/<name>.parquet                           what the listing of each source named when it was read last
availability/month=…/availability.parquet        since when videos are gone, or back
discoveries/date=…/discoveries.parquet           which sources named which videos, and where they stood
import_queue/manifest.json                       lists of videos that somebody brought, until they are imported:
import_queue/<name>.parquet
prepared/hours.json                              how many points the hours hold that were published last
prepared/sizes.json                              bytes by layer, as the janitor measured them last
prepared/gains/<date>T<hour>.parquet             the largest gains of each hour of the last days
prepared/gains.json                              since when they are kept
prepared/movers-<window>.json  prepared/changes.json   what the page shows, as of the moment that each names
_staging/parts/date=…/hour=…/<name>.part         staged points, kept until their hour is sealed
_staging/videos/<name>.part                      staged metadata, kept until it is archived
_staging/availability/<name>.part                staged events of it, kept until they are published
_staging/discoveries/<name>.part                 what sources have named, kept until it is published
_staging/gains/<name>.part                       what batches have gained, kept until it is in the gains of its hour
_staging/quarantine/…                            what could not be read
_staging/locks/  _staging/tmp/
_verified.json                                   when each file was proven last
_vault.json                                      which vault this is
_schedule.json                                   the sync token that it shares with the database
let_go.parquet                                   videos that are paused, stopped or forgotten, as the database has them

Nothing below `_staging/` ends in .parquet, so that a pattern such as `**/stats.parquet` or `**/*.parquet` never finds
a point twice.
"""

from typing import Final

from ghost_tracking.core.partitions import Partition, Period

METRICS: Final = "metrics"
HISTORY: Final = "history"
HISTORY_MANIFEST: Final = f"{HISTORY}/manifest.json"
LATEST: Final = "latest"
LATEST_MANIFEST: Final = f"{LATEST}/manifest.json"
VIDEOS: Final = "videos"
VIDEOS_MANIFEST: Final = f"{VIDEOS}/manifest.json"
WORDS: Final = f"{VIDEOS}/words"
ROSTER: Final = "roster"
ROSTER_MEMORY: Final = "roster/memory"
SOURCES: Final = "sources"
AVAILABILITY: Final = "availability"
DISCOVERIES: Final = "discoveries"
IMPORT_QUEUE: Final = "import_queue"
IMPORT_QUEUE_MANIFEST: Final = f"{IMPORT_QUEUE}/manifest.json"
PREPARED: Final = "prepared"
HOUR_COUNTS: Final = f"{PREPARED}/hours.json"
SIZES: Final = f"{PREPARED}/sizes.json"
GAINS: Final = f"{PREPARED}/gains"
GAINS_STATE: Final = f"{PREPARED}/gains.json"
CHANGES: Final = f"{PREPARED}/changes.json"
STAGING: Final = "_staging"
PARTS: Final = f"{STAGING}/parts"
STAGED_VIDEOS: Final = f"{STAGING}/videos"
STAGED_AVAILABILITY: Final = f"{STAGING}/availability"
STAGED_DISCOVERIES: Final = f"{STAGING}/discoveries"
STAGED_GAINS: Final = f"{STAGING}/gains"
QUARANTINE: Final = f"{STAGING}/quarantine"
LOCKS: Final = f"{STAGING}/locks"
HISTORY_LOCK: Final = f"{LOCKS}/history.lock"
VIDEOS_LOCK: Final = f"{LOCKS}/videos.lock"
IMPORT_QUEUE_LOCK: Final = f"{LOCKS}/import_queue.lock"
GAINS_LOCK: Final = f"{LOCKS}/gains.lock"
SCRATCH: Final = "_staging/tmp"
SCHEDULE: Final = "_schedule.json"
IDENTITY: Final = "_vault.json"
VERIFIED: Final = "_verified.json"
RETENTION: Final = "_retention.json"
LET_GO: Final = "let_go.parquet"
LET_GO_LOCK: Final = f"{LOCKS}/let_go.lock"
STATS: Final = "stats.parquet"
SUFFIX: Final = ".parquet"
PART_SUFFIX: Final = ".part"


def stats(partition: Partition) -> str:
    """The published file of an hour."""
    return f"{METRICS}/{partition.path}/{STATS}"


def history(period: Period, name: str) -> str:
    """A file of the points of a day or month."""
    return f"{HISTORY}/{period.path}/{name}{SUFFIX}"


def latest(name: str) -> str:
    """A file of the newest points of a range of ids."""
    return f"{LATEST}/{name}"


def chunk(name: str) -> str:
    """The file of a chunk of the roster."""
    return f"{ROSTER}/{name}{SUFFIX}"


def roster_memory(chunk: str) -> str:
    """What is remembered of the videos of a chunk of the roster."""
    return f"{ROSTER_MEMORY}/{chunk}{SUFFIX}"


def source(name: str) -> str:
    """What is remembered of the listing of a source."""
    return f"{SOURCES}/{name}{SUFFIX}"


def gains(partition: Partition) -> str:
    """The largest gains of the intervals that ended in an hour."""
    return f"{GAINS}/{partition.date.isoformat()}T{partition.hour:02d}{SUFFIX}"


def movers(window: str) -> str:
    """The movers of a window, as a page shows them."""
    return f"{PREPARED}/movers-{window}.json"


def availability(month: Period) -> str:
    """The file of a month's events of availability."""
    return f"{AVAILABILITY}/{month.path}/{AVAILABILITY}{SUFFIX}"


def availability_lock(month: Period) -> str:
    """What a writer of this month's events holds."""
    return f"{LOCKS}/{AVAILABILITY}_{month.path}.lock"


def discoveries(day: Period) -> str:
    """The file of what sources named on a day."""
    return f"{DISCOVERIES}/{_date(day)}/{DISCOVERIES}{SUFFIX}"


def discoveries_lock(day: Period) -> str:
    """What a writer of this day's discoveries holds."""
    return f"{LOCKS}/{DISCOVERIES}_{_date(day)}.lock"


def parts(partition: Partition) -> str:
    """The folder of an hour's staged parts."""
    return f"{PARTS}/{partition.path}"


def part(partition: Partition, name: str) -> str:
    """The staged part `name` of an hour."""
    return f"{parts(partition)}/{name}"


def quarantined(key: str, stamp: str = "") -> str:
    """Where the file that stood at `key` is set aside."""
    kept = key.removeprefix(f"{PARTS}/").removeprefix(f"{METRICS}/").removeprefix(f"{STAGING}/")
    return f"{QUARANTINE}/{kept}{stamp}.broken"


def _date(day: Period) -> str:
    """`date=YYYY-MM-DD`, as the folders of `metrics/` are called too."""
    return f"date={day.name}"


def lock(partition: Partition) -> str:
    """What a writer of this hour's published file holds."""
    return f"{LOCKS}/date={partition.date.isoformat()}_hour={partition.hour:02d}.lock"
