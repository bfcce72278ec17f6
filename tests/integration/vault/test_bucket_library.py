"""The library and its recipes on a bucket: with options for fsspec or the environment's credentials, no connection."""

import uuid
from datetime import UTC, datetime

import pytest

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import ConfigurationError
from ghost_tracking.vault import Vault
from queries import recipes_pandas, recipes_polars
from s3_server import S3Server

VIDEO = "9LfmrkyP81M"


@pytest.fixture
def root(s3: S3Server) -> str:
    """A prefix of its own in the bucket."""
    return f"s3://vault/{uuid.uuid4().hex}"


def fill(vault: Vault) -> None:
    vault.stage([MetricPoint(VIDEO, datetime(2026, 11, 1, 6, 30, tzinfo=UTC), 7, None, 1, None)])
    assert vault.publish().failed == ()
    assert vault.seal(datetime(2026, 11, 3, tzinfo=UTC)).complete
    assert vault.compact(datetime(2026, 11, 3, tzinfo=UTC)).problems == ()


def test_a_bucket_is_opened_with_options(root: str, s3: S3Server) -> None:
    vault = Vault(root, storage_options=s3.options)
    fill(vault)
    assert vault.read_history(VIDEO)["views"].tolist() == [7]
    assert vault.verify().problems == ()
    (file,) = vault.history_files()
    assert file.startswith(f"{root}/history/")


def test_a_bucket_is_opened_with_what_the_environment_has(
    root: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    fill(Vault(root))
    for recipes in (recipes_pandas, recipes_polars):
        assert recipes.history(root, VIDEO)["views"].to_list() == [7]
        assert recipes.latest(root)["video_id"].to_list() == [VIDEO]
    assert recipes_polars.points(root).select("views").collect()["views"].to_list() == [7]


def test_a_store_whose_package_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError, match="needs the Python package gcsfs"):
        Vault("gs://bucket/prefix").read_history(VIDEO)  # it is not among ours
