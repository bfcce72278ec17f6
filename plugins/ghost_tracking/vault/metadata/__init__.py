"""The archive: the metadata of every video for ever, in Parquet files that one manifest names.

`writing` brings in what was staged at discovery and what the database is about to lose, `scan` finds it, `verify`
proves it; `rows` has the one schema, `files` knows Parquet, `manifest` which files there are.
"""

from ghost_tracking.vault.metadata.scan import read_videos
from ghost_tracking.vault.metadata.search import find_videos, ids_of_channels, rows_of_channels
from ghost_tracking.vault.metadata.verify import problem_of, survey, verify
from ghost_tracking.vault.metadata.writing import Archive

__all__ = [
    "Archive",
    "find_videos",
    "ids_of_channels",
    "problem_of",
    "read_videos",
    "rows_of_channels",
    "survey",
    "verify",
]
