"""Storages by themselves, and the vault in a real S3: races, faults of the network, refusals, other readers."""

import io
import logging
import random
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from airflow.sdk import Connection, ObjectStoragePath
from s3fs import S3FileSystem

from ghost_tracking.core.partitions import Partition
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import ConfigurationError, FileChangedError, VaultMismatchError
from ghost_tracking.hooks import buckets
from ghost_tracking.hooks.buckets import bucket_storage
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.storage import LocalStorage, Storage, Version
from ghost_tracking.vault.storage.bucket import ANY
from ghost_tracking.vault.storage.object_store import ObjectStorage
from ghost_tracking.vault.storage.s3 import S3Bucket
from s3_server import S3Server

TEN = datetime(2026, 1, 15, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
AT_TEN = Partition.of(TEN)
LATER = TEN + timedelta(days=1)


@pytest.fixture
def storage(vault_root: Path | ObjectStoragePath) -> Storage:
    """A folder, and a prefix in S3."""
    if isinstance(vault_root, ObjectStoragePath):
        return bucket_storage(vault_root)
    return LocalStorage(vault_root, layout.SCRATCH)


def test_children_between_names(storage: Storage) -> None:
    names = [f"date=2026-{month:02}-{day:02}" for month in (1, 2, 3) for day in range(1, 29)]
    for name in names:
        storage.put(f"metrics/{name}/hour=00/stats.parquet", b"x")
    storage.put("metrics/a-note.txt", b"x")
    storage.put("metrics/zzz.txt", b"x")
    for spans in (
        [],
        [("", "~")],
        [("date=0001-01-01", "date=2025-12-31")],
        [("date=0001-01-01", "date=2026-01-01"), ("date=2026-02-28", "date=2026-03-02"), ("date=2026-03-28", "date=9")],
    ):
        wanted = [name for name in storage.children("metrics") if any(first <= name <= last for first, last in spans)]
        assert storage.children_between("metrics", spans) == wanted
    assert storage.children_between("nothing", [("", "~")]) == []


@pytest.fixture
def vault(s3_root: ObjectStoragePath) -> ParquetVaultHook:
    return ParquetVaultHook(root=s3_root)


@pytest.fixture
def impatient(s3: S3Server, s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch) -> ParquetVaultHook:
    """The same vault, through a connection that tries twice."""
    monkeypatch.setenv("AIRFLOW_CONN_IMPATIENT_S3", s3.connection(config_kwargs={"retries": {"max_attempts": 1}}))
    vault = ParquetVaultHook(root=str(s3_root).replace("test_s3@", "impatient_s3@"))
    vault.get_conn().fs.retries = 1
    return vault


@pytest.fixture(autouse=True)
def no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "s3" in request.fixturenames:
        request.getfixturevalue("s3").fail(times=0, how="")


def points(*video_ids: str, at: datetime = TEN) -> list[MetricPoint]:
    return [MetricPoint(video_id, at, 1, None, 3, None) for video_id in video_ids]


def video_ids(vault: ParquetVaultHook) -> list[str]:
    return list(vault.read_metrics(TEN, TEN + 2 * HOUR)["video_id"])


def before_first_call(
    monkeypatch: pytest.MonkeyPatch, storage: Storage, verb: str, other: Callable[[], object]
) -> None:
    """Let somebody else do something just before `storage` does `verb` for the first time."""
    original = getattr(storage, verb)

    def delayed(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(storage, verb, original)
        other()
        return original(*args, **kwargs)

    monkeypatch.setattr(storage, verb, delayed)


# What every storage promises


def test_what_is_put_is_read_whole_and_from_its_end(storage: Storage) -> None:
    storage.put("a/b", b"0123456789")
    whole, end = storage.read("a/b"), storage.read("a/b", last=3)
    assert (whole.data, whole.size) == (b"0123456789", 10)
    assert (end.data, end.size) == (b"789", 10)
    assert whole.version == end.version == storage.version("a/b")
    assert storage.read("a/b", last=99).data == b"0123456789"
    storage.put("a/b", b"")
    for last in (None, 3):
        empty = storage.read("a/b", last=last)
        assert (empty.data, empty.size, empty.version) == (b"", 0, storage.version("a/b"))
    assert whole.version != empty.version


def test_what_is_not_there(storage: Storage) -> None:
    storage.put("a/b", b"x")
    for key in ("a/c", "a", "c/d"):
        assert storage.version(key) is None or key == "a"
    for verb in (storage.read, storage.open):
        with pytest.raises(FileNotFoundError):
            verb("a/c")
    with pytest.raises(FileNotFoundError):
        storage.move("a/c", "a/d")
    storage.delete(["a/c", "c/d"])
    storage.discard("a/c", expecting=storage.version("a/b") or "")
    assert storage.children("c") == []
    assert list(storage.walk("c")) == []


def test_a_write_holds_only_for_the_version_it_expects(storage: Storage) -> None:
    storage.replace("a", b"1", expecting=None)
    first = storage.version("a")
    assert first is not None
    with pytest.raises(FileChangedError):
        storage.replace("a", b"2", expecting=None)
    storage.replace("a", b"3", expecting=first)
    with pytest.raises(FileChangedError):
        storage.replace("a", b"4", expecting=first)
    with pytest.raises(FileChangedError):
        storage.discard("a", expecting=first)
    assert storage.read("a").data == b"3"
    present = storage.version("a")
    assert present is not None
    storage.discard("a", expecting=present)
    with pytest.raises(FileChangedError):
        storage.replace("a", b"5", expecting=present)
    assert storage.version("a") is None


def test_folders_are_listed(storage: Storage) -> None:
    many = [f"f/g/{number:03}" for number in range(120)]  # several pages
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: storage.put(key, b"12"), [*many, "f/x", "f.y", "fg/z"]))
    assert storage.children("f") == ["g", "x"]
    assert storage.children("") == sorted({"f", "f.y", "fg", *storage.children("")})
    assert storage.children("f/g") == [key.removeprefix("f/g/") for key in many]
    assert sorted(storage.walk("f")) == [*((key, 2) for key in many), ("f/x", 2)]
    assert {key for key, _ in storage.walk("")} == {*many, "f/x", "f.y", "fg/z"}
    storage.move("f/x", "h/x")
    storage.delete(many)
    assert storage.children("f") == []
    assert list(storage.walk("h")) == [("h/x", 2)]


def test_an_open_file_is_read_here_and_there(storage: Storage) -> None:
    dice = random.Random(1)
    data = dice.randbytes(900_000)
    storage.put("a", data)
    plain = io.BytesIO(data)
    with storage.open("a") as file:
        assert file.seekable()
        assert file.readable()
        for _ in range(60):
            offset, whence = dice.choice([(dice.randrange(900_000), 0), (-dice.randrange(900_000), 2), (100, 1)])
            assert file.seek(offset, whence) == plain.seek(offset, whence) == file.tell()
            size = dice.choice([0, 1, 10, 5_000, 300_000, -1])
            assert file.read(size) == plain.read(size)
        file.seek(899_990)
        assert file.read() == data[-10:]
        assert file.read(5) == b""
    assert file.closed


def test_a_probe_leaves_nothing_behind(storage: Storage) -> None:
    storage.put("a", b"x")
    storage.probe()
    assert list(storage.walk("")) == [("a", 1)]
    assert storage.exists()


# Writers at once


def test_of_two_publications_at_once_the_late_one_merges_anew(
    vault: ParquetVaultHook, s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ParquetVaultHook(root=s3_root)
    vault.stage(points("a"))

    def be_faster() -> None:
        other.stage(points("b"))
        assert other.publish().points_added == 2

    before_first_call(monkeypatch, vault._storage, "replace", be_faster)
    report = vault.publish()
    assert (report.points_added, report.busy, report.problems) == (0, (), ())
    vault.stage(points("c"))
    assert vault.publish().points_added == 1
    assert video_ids(vault) == ["a", "b", "c"]


def test_a_late_point_outlives_a_seal_that_was_overtaken(
    vault: ParquetVaultHook, s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between one janitor's proof and its deletion, another one publishes, seals and deletes."""
    other = ParquetVaultHook(root=s3_root)
    vault.stage(points("a"))

    def seal_too() -> None:
        other.stage(points("late"))
        assert other.seal(LATER).parts_deleted == 2
        other.stage(points("later"))

    before_first_call(monkeypatch, vault._storage, "delete", seal_too)
    assert vault.seal(LATER).complete
    assert vault.publish().points_added == 1
    assert video_ids(vault) == ["a", "late", "later"]


def test_many_writers_lose_nothing(s3_root: ObjectStoragePath) -> None:
    def write(writer: int) -> None:
        vault = ParquetVaultHook(root=s3_root)
        for number in range(6):
            vault.stage(points(f"{writer}-{number}"))
            vault.seal(LATER) if (writer + number) % 3 == 0 else vault.publish()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(write, range(5)))
    vault = ParquetVaultHook(root=s3_root)
    vault.publish()
    assert vault.seal(LATER).complete
    assert video_ids(vault) == sorted(f"{writer}-{number}" for writer in range(5) for number in range(6))
    assert [key for key, _ in vault._storage.walk("")] == [layout.stats(AT_TEN), layout.HOUR_COUNTS]


def test_of_two_identities_made_at_once_one_stands(
    vault: ParquetVaultHook, s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ParquetVaultHook(root=s3_root)
    with pytest.raises(VaultMismatchError, match="holds no vault yet"):
        vault.identity(create=False)
    made: list[str] = []
    before_first_call(monkeypatch, vault._storage, "probe", lambda: made.append(other.identity(create=True)))
    assert [vault.identity(create=True)] == made
    vault.check_identity(made[0])


def test_what_others_write_is_seen_whatever_was_listed_before(s3_root: ObjectStoragePath) -> None:
    storage = bucket_storage(s3_root)
    s3_root.fs.dircache.use_listings_cache = True  # as Airflow makes it
    storage.put("f/a", b"1")
    assert len(s3_root.fs.ls(f"{s3_root.path}/f")) == 1
    stranger = bucket_storage(s3_root)
    stranger._bucket._fs = S3FileSystem(**s3_root.fs.storage_options | {"skip_instance_cache": True})  # type: ignore[attr-defined]
    stranger.put("f/b", b"1")
    stranger.put("f/a", b"22")
    assert storage.children("f") == ["a", "b"]
    assert dict(storage.walk("f")) == {"f/a": 2, "f/b": 1}
    assert storage.read("f/a").data == b"22"


def test_a_file_that_goes_while_it_is_open_says_so(s3_root: ObjectStoragePath) -> None:
    storage = bucket_storage(s3_root)
    for change in (lambda: storage.put("a", bytes(2_000_000)), lambda: storage.delete(["a"])):
        storage.put("a", random.Random(2).randbytes(2_000_000))
        with storage.open("a") as file:
            change()
            with pytest.raises(FileChangedError):
                file.read(10)


# Faults of the network


def test_a_write_whose_answer_is_lost_counts(vault: ParquetVaultHook, s3: S3Server) -> None:
    """The client sends it again, and the store refuses it, for it has it already."""
    vault.stage(points("a"))
    s3.fail(times=1, how="lost answer", method="PUT")
    report = vault.publish()
    assert (report.written, report.complete) == ((AT_TEN,), True)
    assert video_ids(vault) == ["a"]


def test_a_store_that_is_busy_for_a_moment_is_asked_again(vault: ParquetVaultHook, s3: S3Server) -> None:
    s3.fail(times=2, how="503")
    assert vault.append_metrics([{"video_id": "a", "timestamp": TEN}]).complete
    s3.fail(times=2, how="cut answer", method="GET")
    assert vault._storage.read(layout.stats(AT_TEN)).size > 500
    assert video_ids(vault) == ["a"]


@pytest.mark.parametrize("how", ["503", "cut answer", "lost answer"])
def test_a_store_that_fails_is_reported_and_no_file_is_blamed(
    impatient: ParquetVaultHook, s3: S3Server, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "s3fs")
    impatient.append_metrics([{"video_id": "a", "timestamp": TEN}])
    impatient.stage(points("b"))
    s3.fail(times=1000, how=how, method="GET")
    with pytest.raises(OSError, match=r"s3://vault/\w+") as caught:
        impatient.read_history("a")
    assert caught.value.errno
    s3.fail(times=1000, how=how, method="GET" if how == "cut answer" else "PUT")
    try:
        report = impatient.publish()
    except OSError:  # not even the parts could be listed
        report = None
    assert report is None or (report.failed, report.quarantined) == ((AT_TEN,), ())
    s3.fail(times=0, how="")
    assert impatient.publish().complete
    assert impatient.health_check()["quarantined"] == 0
    assert video_ids(impatient) == ["a", "b"]


def test_parquet_read_through_an_open_file_tells_a_fault_from_damage(impatient: ParquetVaultHook, s3: S3Server) -> None:
    storage = impatient._storage
    storage.put("a.parquet", random.Random(3).randbytes(1_000_000))
    with storage.open("a.parquet") as file:
        s3.fail(times=1000, how="503", method="GET")
        with pytest.raises(OSError, match="s3://vault") as caught:
            file.read(10)
        assert caught.value.errno
        s3.fail(times=0, how="")
        file.seek(0)
        assert len(file.read()) == 1_000_000


# Refusals


@contextmanager
def told(*words: str, secrets: tuple[str, ...]) -> Iterator[None]:
    """ConfigurationError, with these words in its message and no secret anywhere in it."""
    with pytest.raises(ConfigurationError) as caught:
        yield
    for word in words:
        assert word in caught.value.message
    everything = "".join(traceback.format_exception(caught.value))
    for secret in secrets:
        assert secret not in everything


@pytest.mark.parametrize(
    ("who", "reason"),
    [("stranger", "AccessDenied"), ("unknown", "InvalidAccessKeyId"), ("forger", "SignatureDoesNotMatch")],
)
def test_bad_credentials_are_told_by_connection_and_bucket(
    s3: S3Server, who: str, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connection = {
        "stranger": s3.connection(key=s3.stranger),
        "unknown": s3.connection(key="AKIA0000000000000000"),
        "forger": s3.connection(secret="a-canary-of-a-secret"),
    }[who]
    monkeypatch.setenv(f"AIRFLOW_CONN_{who.upper()}", connection)
    caplog.set_level(logging.DEBUG)
    secrets = (s3.secret, "a-canary-of-a-secret")
    vault = ParquetVaultHook(root=f"s3://{who}@vault/x")
    for verb in (
        lambda: vault.stage(points("a")),
        vault.publish,
        lambda: vault.seal(LATER),
        lambda: vault.read_history("a"),
        lambda: vault.identity(create=True),
        lambda: vault._storage.read("a"),
        lambda: vault._storage.delete(["a"]),
        lambda: vault._storage.move("a", "b"),
    ):
        with told(f"Bucket 'vault' refuses connection '{who}'", reason, secrets=secrets):
            verb()
    assert not any(secret in caplog.text for secret in secrets)


def test_what_is_missing_is_named(s3: S3Server, s3_root: ObjectStoragePath) -> None:
    secrets = (s3.secret, "sesame")
    with told("no bucket 'nowhere'", "connection 'test_s3'", secrets=secrets):
        ParquetVaultHook(root="s3://test_s3@nowhere/x").stage(points("a"))
    with told("no bucket 'nowhere'", secrets=secrets):
        ParquetVaultHook(root="s3://test_s3@nowhere/x").read_history("a")
    with told("Connection 'nobody'", "is missing", secrets=secrets):
        ParquetVaultHook(root="s3://nobody@vault/x").stage(points("a"))
    with told("names no bucket", secrets=secrets):
        ParquetVaultHook(root="s3://test_s3@/x").stage(points("a"))
    with told("has credentials in its URL", secrets=secrets):
        ParquetVaultHook(root=f"s3://me:{secrets[1]}@vault/x").stage(points("a"))


def test_a_package_that_is_missing_is_named(s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="apache-airflow-providers-google on every worker"):
        ParquetVaultHook(root="gs://bucket/x").stage(points("a"))  # it is not among ours
    monkeypatch.setattr(buckets, "has_fs", lambda _: False)
    with pytest.raises(ConfigurationError, match=r"apache-airflow-providers-amazon\[s3fs\] on every worker"):
        ParquetVaultHook(root=s3_root).stage(points("a"))


class Careless(S3Bucket):
    """A store that speaks S3 and takes no notice of conditions, as some do."""

    def put(self, name: str, data: bytes, *, expecting: Version | None) -> None:
        super().put(name, data, expecting=ANY)


def test_a_store_without_conditional_writes_is_refused(
    s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = ParquetVaultHook(root=s3_root)
    vault.identity(create=True)
    assert vault.health_check()["ok"]
    careless = ObjectStorage(Careless(s3_root.fs, "vault", "test_s3"), "s3://vault/y", f"{uuid.uuid4()}/", "tmp")
    with pytest.raises(ConfigurationError, match=r"s3://vault/y .* ignores the conditions"):
        careless.probe()
    assert list(careless.walk("")) == []
    monkeypatch.setattr(vault._location, "storage", careless)
    health = vault.health_check()
    assert (health["ok"], health["writable"]) == (False, False)
    assert "ignores the conditions" in health["problem"]
    with pytest.raises(ConfigurationError, match="ignores the conditions"):
        vault.identity(create=True)


# Where the vault is, and other readers


@pytest.mark.parametrize("uri", ["fs:///?path={}", "generic://?path={}", "generic://{}"])
def test_connections_name_a_bucket(s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    quoted = str(s3_root).replace(":", "%3A").replace("/", "%2F").replace("@", "%40")
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_VAULT", uri.format(quoted))
    ParquetVaultHook().append_metrics([{"video_id": "a", "timestamp": TEN}])
    assert (s3_root / layout.stats(AT_TEN)).exists()


def test_a_whole_bucket_can_be_the_vault(s3: S3Server, s3_root: ObjectStoragePath) -> None:
    s3_root.fs.call_s3("create_bucket", Bucket="whole")
    connection = Connection(conn_id="mine", conn_type="generic", host="s3://test_s3@whole")
    vault = ParquetVaultHook(connection=connection)
    vault.append_metrics([{"video_id": "a", "timestamp": TEN}])
    vault.seal(LATER)
    assert list(s3_root.fs.find("whole")) == [f"whole/{key}" for key in (layout.stats(AT_TEN), layout.HOUR_COUNTS)]
    assert vault.health_check()["root"].rstrip("/") == "s3://test_s3@whole"


def test_pandas_duckdb_and_polars_read_the_bucket(
    vault: ParquetVaultHook, s3: S3Server, s3_root: ObjectStoragePath
) -> None:
    for hour in range(3):
        vault.append_metrics([{"video_id": f"v{hour}", "timestamp": TEN + hour * HOUR, "views": hour}])
    vault.stage(points("staged"))
    metrics = f"s3://{s3_root.path}/metrics"

    frame = pd.read_parquet(metrics, storage_options=s3.options, filters=[("hour", "<=", 11)])
    assert sorted(frame["video_id"]) == ["v0", "v1"]
    one = pd.read_parquet(f"{metrics}/date=2026-01-15/hour=12/stats.parquet", storage_options=s3.options)
    assert list(one["views"]) == [2]

    with duckdb.connect() as database:
        database.register_filesystem(S3FileSystem(**s3.options))
        query = f"SELECT count(*), max(hour) FROM read_parquet('{metrics}/*/*/*.parquet', hive_partitioning = true)"
        assert database.execute(query).fetchone() == (3, 12)

    options = {
        "aws_access_key_id": s3.key,
        "aws_secret_access_key": s3.secret,
        "aws_endpoint_url": s3.endpoint,
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    scanned = pl.scan_parquet(f"{metrics}/**/*.parquet", storage_options=options, hive_partitioning=True)
    assert scanned.select(pl.col("views").sum()).collect().item() == 3

    with vault._storage.open(layout.stats(AT_TEN)) as file:
        assert pq.ParquetFile(file).metadata.num_rows == 1
