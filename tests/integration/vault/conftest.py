"""Vaults of every kind."""

from pathlib import Path

import pytest
from airflow.sdk import ObjectStoragePath

from ghost_tracking.hooks.vault import ParquetVaultHook


@pytest.fixture
def vault(vault_root: Path | ObjectStoragePath) -> ParquetVaultHook:
    """A vault in which nothing is yet, in a folder and in S3."""
    return ParquetVaultHook(root=vault_root)
