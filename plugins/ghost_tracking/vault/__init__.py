"""The vault: every observation for ever, in plain Hive-partitioned Parquet. A library of its own, without Airflow.

    from ghost_tracking.vault import Vault

    Vault("/data/vault").read_history("9LfmrkyP81M")

`Vault` is the face. What is behind it, by what it is about:

- where things are: `location` (the root), `storage` (a folder or a bucket), `layout` (keys), `listing` (what there is)
- what all layers share: `kit`: staged parts, manifests and their retry, leftovers, Parquet, names, caches
- `points`: `tables` (the one schema) and `files` (an hour's Parquet)
- `history`: a video's points together: `encoding`, `files`, `manifest` (which hours are in which), `compaction`
- over both: `publishing` (stage, publish, seal), `scan` (read), `latest` (the newest point of every video)
- `metadata`: titles and the rest of what videos are; `availability`: since when videos are gone;
  `discoveries`: where they came from; both by `period_files`, layers of one file a day or a month
- `import_queue`: lists of videos that somebody brings; `roster_files`, `roster_memory`: which videos chunks of the
  roster hold, and what is known of them; `source_memory`: what each source's listing has named
- `let_go`: which videos were paused, stopped or forgotten
- `maintenance`: `verify`, `repair`, `retention`, `stats`, `forgetting` (out of every layer)

Importing this package loads no pyarrow.
"""

from ghost_tracking.vault.reports import PublishReport, SealReport, StagedPart
from ghost_tracking.vault.vault import Vault

__all__ = ["PublishReport", "SealReport", "StagedPart", "Vault"]
