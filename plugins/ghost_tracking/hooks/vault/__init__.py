"""The vault: every observation for ever, in plain Hive-partitioned Parquet.

The hook is the face. What is behind it, by what it is about:

- where things are: `place` (the root), `storage` (a folder or a bucket), `layout` (keys), `listing` (what there is)
- points: `tables` (the one schema), `files` (an hour's Parquet), `series` (a video's points together), `index` (which
  hours are in series)
- work on them: `publishing` (stage, publish, seal), `folding`, `expiry`, `reading`, `checking`, `repairing`
- metadata: `archive`, a package of its own; since when videos are gone: `availability`
- lists of videos that somebody brings: `inbox`; what the roster's videos gained: `heat`
- letting go: `let_go` (which videos), `forgetting` (out of every layer)
- what each source's listing has named: `source_memory`

Importing this package loads no pyarrow.
"""

from ghost_tracking.hooks.vault.hook import ParquetVaultHook
from ghost_tracking.hooks.vault.reports import PublishReport, SealReport, StagedPart

__all__ = ["ParquetVaultHook", "PublishReport", "SealReport", "StagedPart"]
