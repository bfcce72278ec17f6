"""The vault: every observation for ever, in plain Hive-partitioned Parquet.

The hook is the face; behind it `publishing` writes, `reading` reads, `files` knows Parquet and the one schema,
`storage` knows the folder, and `layout` where everything stands. Importing this package loads no pyarrow.
"""

from ghost_tracking.hooks.vault.hook import ParquetVaultHook
from ghost_tracking.hooks.vault.reports import PublishReport, SealReport, StagedPart

__all__ = ["ParquetVaultHook", "PublishReport", "SealReport", "StagedPart"]
