"""Where things stand in a vault, as keys: paths relative to its root, with forward slashes.

metrics/date=2026-01-15/hour=10/stats.parquet    what readers see, and nothing else
_staging/parts/date=…/hour=…/<name>.parquet      staged points, kept until their hour is sealed
_staging/quarantine/date=…/hour=…/…              what could not be read
_staging/locks/  _staging/tmp/
_vault.json                                      which vault this is
"""

from typing import Final

from ghost_tracking.core.partitions import Partition

METRICS: Final = "metrics"
PARTS: Final = "_staging/parts"
QUARANTINE: Final = "_staging/quarantine"
LOCKS: Final = "_staging/locks"
SCRATCH: Final = "_staging/tmp"
IDENTITY: Final = "_vault.json"
STATS: Final = "stats.parquet"
SUFFIX: Final = ".parquet"


def stats(partition: Partition) -> str:
    """The published file of an hour."""
    return f"{METRICS}/{partition.path}/{STATS}"


def parts(partition: Partition) -> str:
    """The folder of an hour's staged parts."""
    return f"{PARTS}/{partition.path}"


def part(partition: Partition, name: str) -> str:
    """The staged part `name` of an hour."""
    return f"{parts(partition)}/{name}{SUFFIX}"


def quarantined(partition: Partition, name: str) -> str:
    """Where a file of this hour is set aside as `name`."""
    return f"{QUARANTINE}/{partition.path}/{name}{SUFFIX}"


def lock(partition: Partition) -> str:
    """What a writer of this hour's published file holds."""
    return f"{LOCKS}/date={partition.date.isoformat()}_hour={partition.hour:02d}.lock"
