"""The archive: the metadata of every video for ever, in Parquet files that one manifest names.

`writing` brings in what was staged at discovery and what the database is about to lose. `scan` reads given videos,
which `lookup` finds; `search` finds those with given words, which `words` has an index of; `verify` proves all of it.
`rows` has the one schema, `files` knows Parquet, `manifest` which files there are.
"""

from ghost_tracking.vault.metadata.scan import read_videos, rows_of_videos
from ghost_tracking.vault.metadata.search import find_videos, ids_of_channels, rows_of_channels
from ghost_tracking.vault.metadata.verify import duplicates, mend_words, problem_of, survey, verify, verify_words
from ghost_tracking.vault.metadata.writing import Archive

__all__ = [
    "Archive",
    "duplicates",
    "find_videos",
    "ids_of_channels",
    "mend_words",
    "problem_of",
    "read_videos",
    "rows_of_channels",
    "rows_of_videos",
    "survey",
    "verify",
    "verify_words",
]
