"""Whoever may write into the vault's storage reaches nothing outside it: keys, manifests, links, pipes."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import example, given
from hypothesis import strategies as st

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import BadInputError, ForeignFileError, GhostTrackingError, UnreadableFileError
from ghost_tracking.hooks.vault import ConnectedLocation, ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.history.manifest import HistoryManifest
from ghost_tracking.vault.import_queue import ImportQueueManifest
from ghost_tracking.vault.metadata.manifest import ArchiveManifest
from ghost_tracking.vault.storage import LocalStorage, Storage

TEN = datetime(2026, 1, 15, 10, tzinfo=UTC)
HOUR = "date=2026-01-15/hour=10"
LONG_AGO = "2020-01-01"
VIDEO = "f6x1WVSR-4U"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the vault with a secret and a folder that has nothing else."""
    folder = tmp_path / "outside"
    (folder / "nearly_empty").mkdir(parents=True)
    (folder / "secret").write_text("root:$6$secret")
    (folder / "nearly_empty/secret").write_text("root:$6$secret")
    return folder


@pytest.fixture
def vault(root: Path) -> ParquetVaultHook:
    vault = ParquetVaultHook(root=root, lock_timeout=1)
    vault.identity(create=True)
    return vault


@pytest.fixture
def storage(vault: ParquetVaultHook, root: Path) -> LocalStorage:
    return LocalStorage(root, layout.SCRATCH)


def put_point(vault: ParquetVaultHook) -> None:
    vault.stage([MetricPoint(VIDEO, TEN, 1, 2, 3, None)])
    assert vault.publish().complete


def assert_untouched(outside: Path, root: Path) -> None:
    assert (outside / "secret").read_text() == (outside / "nearly_empty/secret").read_text() == "root:$6$secret"
    copies = [path for path in root.rglob("*") if not path.is_symlink() and path.is_file()]
    assert not [path for path in copies if b"$6$secret" in path.read_bytes()]


# Keys

BAD_KEYS = [
    "/etc/passwd",
    "../outside/secret",
    "metrics/../../outside/secret",
    "metrics/..",
    "./metrics",
    "metrics//stats.parquet",
    "metrics/",
    "..\\outside",
    "metrics/a\\b",
    "metrics/a\0b",
    "metrics/a\nb",
    "metrics/\x1b[2J",
]

VERBS: dict[str, Callable[[Storage, str], Any]] = {
    "read": lambda storage, key: storage.read(key),
    "read the end": lambda storage, key: storage.read(key, last=8),
    "open": lambda storage, key: storage.open(key),
    "version": lambda storage, key: storage.version(key),
    "children": lambda storage, key: storage.children(key),
    "walk": lambda storage, key: list(storage.walk(key)),
    "put": lambda storage, key: storage.put(key, b"x"),
    "replace": lambda storage, key: storage.replace(key, b"x", expecting=None),
    "move": lambda storage, key: storage.move(key, "_staging/quarantine/x"),
    "move to": lambda storage, key: storage.move(layout.IDENTITY, key),
    "delete": lambda storage, key: storage.delete([key]),
    "discard": lambda storage, key: storage.discard(key, expecting="x"),
}
FOLDER_VERBS: dict[str, Callable[[Storage, str], Any]] = {
    "sync": lambda storage, key: storage.sync(key),
    "prune": lambda storage, key: storage.prune([key]),
    "lock": lambda storage, key: storage.lock(key, 0).__enter__(),
}


@pytest.mark.parametrize("verb", [*VERBS, *FOLDER_VERBS])
@pytest.mark.parametrize("key", BAD_KEYS)
def test_no_verb_of_a_folder_takes_a_key_that_leaves_the_root(
    storage: LocalStorage, outside: Path, root: Path, verb: str, key: str
) -> None:
    with pytest.raises(BadInputError, match="no key"):
        (VERBS | FOLDER_VERBS)[verb](storage, key)
    assert_untouched(outside, root)


def test_no_verb_of_a_bucket_takes_such_a_key(s3_root: ObjectStoragePath) -> None:
    neighbour = s3_root.parent / "secret"
    neighbour.write_bytes(b"another tenant's")
    storage = ConnectedLocation("", str(s3_root), None).storage
    storage.put(layout.IDENTITY, b"x")
    for verb in VERBS.values():
        for key in BAD_KEYS:
            with pytest.raises(BadInputError, match="no key"):
                verb(storage, key)
    assert neighbour.read_bytes() == b"another tenant's"


@given(st.text(st.sampled_from("./\\a\0\n\u202e"), min_size=1, max_size=12))
def test_a_key_that_is_taken_stays_below_the_root(key: str) -> None:
    storage = LocalStorage(Path("/nowhere/vault"), layout.SCRATCH)
    try:
        assert storage.version(key) is None
    except BadInputError:
        return
    assert os.path.normpath(f"/nowhere/vault/{key}") == f"/nowhere/vault/{key}"
    assert key.isprintable()


# Manifests


def history_manifest(path: str, **file: Any) -> dict[str, Any]:
    rows = [0] * 24
    rows[3] = 1
    day = {"rows": rows, "hash": "00000000000000ff".rjust(4 * 16, "0").ljust(24 * 16, "0")}
    named = {"path": path, "period": LONG_AGO, "points": 1, "bytes": 1, "first": "a", "last": "b"} | file
    return {"version": 1, "files": [named], "days": {LONG_AGO: day}, "stale": []}


def archive_manifest(name: str) -> dict[str, Any]:
    return {"files": [{"name": name, "videos": 1, "bytes": 1, "oldest": "2020-01-01T00:00:00Z"}]}


def import_queue_manifest(name: str, bad: str | None = None) -> dict[str, Any]:
    files = [{"name": name, "ids": 1}] if bad is None else []
    return {"lists": [{"name": "mine", "created_at": TEN.isoformat(), "files": files, "bad_file": bad}]}


def verbs_of(vault: ParquetVaultHook) -> dict[str, Callable[[], Any]]:
    return {
        "health": vault.health_check,
        "verify": vault.verify,
        "repair": vault.repair,
        "seal": lambda: vault.seal(datetime.now(UTC)),
        "compact": lambda: vault.compact(datetime.now(UTC)),
        "expire": lambda: vault.expire(TEN, dry_run=False),
        "expire videos": lambda: vault.expire_videos(TEN),
        "archive": vault.archive_videos,
        "find": lambda: vault.find_videos("hello"),
        "read videos": lambda: vault.read_videos(VIDEO),
        "history": lambda: vault.read_history(VIDEO),
        "latest": lambda: vault.read_latest([VIDEO]),
        "submit": lambda: vault.import_queue.submit([VIDEO, "!"], "mine"),
        "retry": lambda: vault.import_queue.retry("mine"),
        "waiting": lambda: vault.import_queue.waiting(10),
        "discoveries": vault.read_discoveries,
        "publish discoveries": vault.publish_discoveries,
        "size": vault.stats.size,
    }


def use(vault: ParquetVaultHook) -> None:
    """Every verb once; what it cannot do it says in an error of ours."""
    for verb in verbs_of(vault).values():
        with suppress(GhostTrackingError):
            verb()


@pytest.mark.parametrize("form", ["/{}/outside/secret", "../outside/secret", "../outside/nearly_empty/secret"])
def test_no_verb_touches_what_a_manifest_names_outside(
    vault: ParquetVaultHook, outside: Path, root: Path, tmp_path: Path, form: str
) -> None:
    where = form.format(str(tmp_path).strip("/"))
    below = where if where.startswith("/") else f"../{where}"
    manifests = {
        layout.HISTORY_MANIFEST: history_manifest(where),
        layout.VIDEOS_MANIFEST: archive_manifest(below),
    }
    for queue in (import_queue_manifest(below), import_queue_manifest("", bad=below)):
        for key, content in (manifests | {layout.IMPORT_QUEUE_MANIFEST: queue}).items():
            (root / key).parent.mkdir(exist_ok=True)
            (root / key).write_text(json.dumps(content))
        for verb in verbs_of(vault).values():
            with suppress(GhostTrackingError):
                verb()
            assert_untouched(outside, root)


def test_a_manifest_that_names_another_file_is_set_aside_by_repair(vault: ParquetVaultHook, root: Path) -> None:
    (root / "history").mkdir()
    (root / layout.HISTORY_MANIFEST).write_text(json.dumps(history_manifest("/etc/passwd")))
    assert any("/etc/passwd" in problem for problem in vault.verify().problems)
    assert len(vault.repair().quarantined) == 1
    assert not vault.verify().problems


STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=40),
    st.sampled_from([*BAD_KEYS, "videos/x.parquet", "99999999T999999999999-000000000000.parquet", "9999-12", LONG_AGO]),
    st.lists(st.text(max_size=3), max_size=3),
)


@given(st.sampled_from(["path", "period", "points", "bytes", "first", "last", "hash", "index"]), STRANGE)
@example("path", f"history/day={LONG_AGO}/20200101T000000-0123456789ab-000.parquet/../../x")
@example("path", f"history/day={LONG_AGO}/20200101T000000-0123456789ab-000.parquet\n")
@example("period", "9999-12")
def test_a_manifest_of_the_history_has_its_files_or_is_damaged(name: str, value: Any) -> None:
    good = f"history/day={LONG_AGO}/20200101T000000-0123456789ab-000.parquet"
    content = history_manifest(good)
    assert HistoryManifest.model_validate_json(json.dumps(content)).files[0].path == good
    content["files"][0][name] = value
    try:
        manifest = HistoryManifest.model_validate_json(json.dumps(content))
    except ValueError:
        return
    assert manifest.files[0].path == good
    assert 0 <= manifest.files[0].points < 2**63
    assert manifest.periods


@given(
    st.sampled_from(["days", "stale", "rows", "hash", "bytes", "file_hash", "compacted_only"]),
    STRANGE | st.dictionaries(st.text(max_size=10), STRANGE),
)
def test_hours_and_days_of_a_manifest_are_some_or_it_is_damaged(name: str, value: Any) -> None:
    content = history_manifest(f"history/day={LONG_AGO}/20200101T000000-0123456789ab-000.parquet")
    if name in {"days", "stale"}:
        content[name] = value
    else:
        content["days"][LONG_AGO][name] = value
    try:
        manifest = HistoryManifest.model_validate_json(json.dumps(content))
    except ValueError:
        return
    for period in manifest.periods:
        assert manifest.checksums(period) is not None
        assert list(manifest.stale_hours(period)) == sorted(manifest.stale_hours(period))


@given(STRANGE)
def test_names_in_the_archive_and_the_import_queue_are_names_that_were_given(value: Any) -> None:
    good = "20260115T000000000001-0123456789ab.parquet"
    assert ArchiveManifest.model_validate_json(json.dumps(archive_manifest(good))).files[0].name == good
    assert ImportQueueManifest.model_validate_json(json.dumps(import_queue_manifest(good))).named == {good}
    for model, content in (
        (ArchiveManifest, archive_manifest(value)),
        (ImportQueueManifest, import_queue_manifest(value)),
        (ImportQueueManifest, import_queue_manifest("", bad=value or "")),
    ):
        with pytest.raises(ValueError, match="validation error"):
            model.model_validate_json(json.dumps(content))


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"version": ' + b"9" * 5_000 + b"}", b"\xff\xfe", b""])
def test_a_manifest_that_is_no_json_is_damaged(vault: ParquetVaultHook, root: Path, data: bytes) -> None:
    (root / "history").mkdir()
    (root / layout.HISTORY_MANIFEST).write_bytes(data)
    with pytest.raises(UnreadableFileError, match="manifest"):
        vault.read_history(VIDEO)


# Links


def test_a_link_in_the_place_of_a_file_is_not_followed_and_named(
    vault: ParquetVaultHook, outside: Path, root: Path
) -> None:
    link = root / layout.METRICS / HOUR / layout.STATS
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / "secret")
    with pytest.raises(UnreadableFileError, match="a symbolic link"):
        vault.read_metrics(TEN, TEN + timedelta(hours=1))
    report = vault.repair()
    assert not report.quarantined
    assert any(str(link.relative_to(root)) in problem for problem in report.problems)
    assert any("a symbolic link" in problem for problem in vault.verify().problems)
    assert not vault.health_check()["ok"]
    vault.stage([MetricPoint(VIDEO, TEN, 1, 2, 3, None)])
    published = vault.publish()
    assert published.failed
    assert "a symbolic link" in published.problems[0]
    use(vault)
    assert link.readlink() == outside / "secret"
    assert_untouched(outside, root)
    link.unlink()
    assert vault.publish().points_added == 1


def test_a_linked_folder_is_another_tenants(vault: ParquetVaultHook, tmp_path: Path, root: Path) -> None:
    other = tmp_path / "other/hour=03"
    other.mkdir(parents=True)
    (other / layout.STATS).write_bytes(b"another tenant's")
    (root / "metrics").mkdir()
    (root / f"metrics/date={LONG_AGO}").symlink_to(other.parent)
    use(vault)
    assert vault.expire(TEN, dry_run=False).hours == 0
    assert (other / layout.STATS).read_bytes() == b"another tenant's"
    assert any(f"metrics/date={LONG_AGO} is a symbolic link" in problem for problem in vault.verify().problems)


@pytest.mark.parametrize(
    "folder", ["history", "videos", "import_queue", "roster", "availability", "discoveries", "_staging/parts"]
)
def test_nothing_is_written_through_a_linked_folder(
    vault: ParquetVaultHook, tmp_path: Path, root: Path, folder: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / folder).symlink_to(elsewhere)
    with pytest.raises(ForeignFileError, match=folder):
        vault._storage.put(f"{folder}/x", b"x")
    use(vault)
    assert not list(elsewhere.iterdir())
    assert vault._storage.children(folder) == []
    assert vault._storage.version(f"{folder}/x") is None


@pytest.mark.parametrize("verb", ["read", "read the end", "open", "put", "replace", "move", "move to"])
def test_a_link_is_neither_read_nor_replaced(storage: LocalStorage, outside: Path, root: Path, verb: str) -> None:
    (root / "linked").symlink_to(outside / "secret")
    with pytest.raises((ForeignFileError, GhostTrackingError)):
        VERBS[verb](storage, "linked")
    storage.delete(["linked"])
    storage.discard("linked", expecting=storage.version("linked"))
    assert (root / "linked").is_symlink()
    assert_untouched(outside, root)


def test_unfinished_files_and_locks_are_not_followed_either(vault: ParquetVaultHook, outside: Path, root: Path) -> None:
    storage = vault._storage
    (root / layout.SCRATCH / "1-old").symlink_to(outside / "secret")
    (root / layout.LOCKS).mkdir(exist_ok=True)
    (root / layout.HISTORY_LOCK).symlink_to(outside / "secret")
    assert storage.sweep_scratch(datetime.now(UTC).timestamp() + 10) == 0
    with pytest.raises(ForeignFileError), storage.lock(layout.HISTORY_LOCK, 0):
        pass
    assert_untouched(outside, root)


def test_loops_break_nothing(vault: ParquetVaultHook, root: Path) -> None:
    put_point(vault)
    for number, target in enumerate([".", "..", "loop-2", str(root)]):
        (root / f"metrics/loop-{number}").symlink_to(target)
        (root / f"metrics/{HOUR}/loop-{number}").symlink_to(target)
    assert vault.stats.size().points == 1
    assert len(vault.read_metrics(TEN)) == 1
    assert sum("a symbolic link" in problem for problem in vault.verify().problems) == 8


def test_a_pipe_keeps_nobody_waiting(vault: ParquetVaultHook, root: Path) -> None:
    (root / f"metrics/{HOUR}").mkdir(parents=True)
    os.mkfifo(root / f"metrics/{HOUR}/{layout.STATS}")
    os.mkfifo(root / layout.HISTORY_LOCK.replace("history", "videos"))
    with ThreadPoolExecutor(1) as thread:
        thread.submit(use, vault).result(timeout=30)


def test_names_that_cannot_be_shown_are_passed_over_and_named(vault: ParquetVaultHook, root: Path) -> None:
    vault.stage([MetricPoint(VIDEO, TEN, 1, 2, 3, None)])
    folder = root / layout.PARTS / HOUR
    for name in (b"\x1b[2Jx.part", b"\xff\xfe.part", "\u202ex.part".encode(), b"a\nb.part"):
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(b"x")
    assert vault.publish().problems == ()
    problems = vault.verify().problems
    assert len(problems) == 4
    assert all(problem.isprintable() for problem in problems)


@pytest.mark.parametrize("name", ["date=9999-12-31/hour=23", "date=0001-01-01/hour=00", "date=2026-13-01/hour=00"])
def test_folders_of_no_possible_hour_break_nothing(vault: ParquetVaultHook, root: Path, name: str) -> None:
    put_point(vault)
    for folder in (layout.METRICS, layout.PARTS):
        (root / folder / name).mkdir(parents=True)
    (root / "videos").mkdir()
    (root / "videos/99999999T999999999999-000000000000.parquet").write_bytes(b"x")
    (root / "availability/month=9999-12").mkdir(parents=True)
    (root / "discoveries" / name.partition("/")[0]).mkdir(parents=True)
    use(vault)
    assert len(vault.read_metrics(TEN)) == 1


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "vault").symlink_to(tmp_path / "disk")
    vault = ParquetVaultHook(root=tmp_path / "vault", lock_timeout=1)
    put_point(vault)
    assert len(vault.read_metrics(TEN)) == 1
    assert vault.health_check()["ok"]
    assert not vault.verify().problems
