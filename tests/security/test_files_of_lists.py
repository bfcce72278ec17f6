"""Whoever may trigger the hunter names a file: he gets the lists that the deployment allows, and no other file."""

import io
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import example, given
from hypothesis import strategies as st

from ghost_tracking.core.decoding import decoded_lines
from ghost_tracking.core.lists import BadLine, read_list
from ghost_tracking.errors import BadInputError, BadSettingsError, GhostTrackingError
from ghost_tracking.hooks import list_files
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.services.importing import submit
from ghost_tracking.settings import LIST_PREFIXES_ENVIRONMENT
from s3_server import S3Server

SECRET = "SECRET-OF-THE-WORKER"
VIDEO = "dQw4w9WgXcQ"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Never in memory, as `make test` has it: no list is taken from anywhere below /dev."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def vault(tmp_path: Path) -> ParquetVaultHook:
    """A vault with a list, beside what nobody may read through it."""
    root = tmp_path / "vault"
    (root / "lists" / "deep").mkdir(parents=True)
    (root / "lists" / "mine.csv").write_text(f"video_id\n{VIDEO}\n")
    (root / "lists" / "deep" / "mine.csv").write_text(f"video_id\n{VIDEO}\n")
    (root / "secret").write_text(f"{SECRET}\n{VIDEO}\n")
    (tmp_path / "secret").write_text(f"{SECRET}\n{VIDEO}\n")
    (tmp_path / "listsecret").mkdir()
    (tmp_path / "listsecret" / "x").write_text(f"{SECRET}\n{VIDEO}\n")
    hook = ParquetVaultHook(root=str(root))
    hook.identity(create=True)
    return hook


def root_of(vault: ParquetVaultHook) -> Path:
    return Path(vault.get_conn().path)


@pytest.mark.parametrize(
    "name", ["lists/mine.csv", "lists/deep/mine.csv", "{root}/lists/mine.csv", "file://{root}/lists/mine.csv"]
)
def test_lists_in_the_vaults_folder_are_read(vault: ParquetVaultHook, name: str) -> None:
    assert ": 1 video, 1 of them new" in submit({"list_file": name.format(root=root_of(vault))}, vault, vault.open_list)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/root{root}/lists/mine.csv",
        "/dev/zero",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "local:///etc/passwd",
        "FILE:///etc/passwd",
        "{root}/secret",
        "secret",
        "lists",
        "lists/",
        "{root}/lists",
        "lists/../secret",
        "lists/../../secret",
        "lists//../secret",
        "{root}/lists/../../secret",
        "{root}/lists/./../secret",
        "{root}/listsecret/x",
        "{root}/../secret",
        "lists/\x00/../secret",
        "lists/x\nAlert: all is well",
        "s3://aws_default@bucket/list.csv",
        "s3://bucket/list.csv",
        "gs://other@bucket/lists/mine.csv",
        "http://169.254.169.254/latest/meta-data",
        "simplecache::file:///etc/passwd",
        "~/.ssh/id_rsa",
        "lists/{{{{ conn.ghost_vault }}}}",
        ".",
        "/",
        "//",
    ],
)
@pytest.mark.parametrize("column", [None, "zzz"])
def test_no_other_file_is_read_and_nothing_of_it_is_said(
    vault: ParquetVaultHook, name: str, column: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    form = {"list_file": name.format(root=root_of(vault)), "list_column": column}
    with pytest.raises(BadInputError) as caught:
        submit(form, vault, vault.open_list)
    assert caught.value.message.startswith("list_file ")
    assert "\n" not in caught.value.message
    assert SECRET not in caught.value.message + caplog.text
    assert vault.import_queue.lists() == []


@given(
    text=st.text(max_size=60)
    | st.lists(
        st.sampled_from(["..", ".", "", "lists", "secret", "x", "/", "://", "@", "file", "s3", "%2e"]), max_size=9
    ).map("/".join)
)
@example("lists/../secret")
def test_no_name_leads_out(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    (root / "lists").mkdir(parents=True, exist_ok=True)
    (root / "secret").write_text(SECRET)
    with pytest.raises(GhostTrackingError):
        ParquetVaultHook(root=str(root)).open_list(text).close()


def test_a_root_that_is_written_unusually_is_the_same_vault(vault: ParquetVaultHook) -> None:
    root = root_of(vault)
    for written in (f"{root}/", f"{root.parent}//{root.name}/.", f"{root}/../{root.name}", f"file://{root}"):
        with ParquetVaultHook(root=written).open_list("lists/mine.csv") as file:
            assert VIDEO.encode() in file.read()


@pytest.mark.parametrize("link", ["file", "folder", "lists"])
def test_links_are_not_followed(vault: ParquetVaultHook, link: str, tmp_path: Path) -> None:
    lists = root_of(vault) / "lists"
    if link == "file":
        (lists / "link").symlink_to(tmp_path / "secret")
        name = "lists/link"
    elif link == "folder":
        (lists / "link").symlink_to(tmp_path)
        name = "lists/link/secret"
    else:
        lists.rename(tmp_path / "moved")
        lists.symlink_to(tmp_path)
        name = "lists/secret"
    with pytest.raises(BadInputError, match="cannot be read on this worker"):
        vault.open_list(name)


def test_what_is_no_regular_file_is_not_read_and_waited_for(vault: ParquetVaultHook) -> None:
    os.mkfifo(root_of(vault) / "lists" / "pipe")
    for name in ("lists/pipe", "lists/deep"):
        with pytest.raises(BadInputError, match="it is not a regular file"):
            vault.open_list(name)


def test_a_file_that_is_too_large_is_refused_unread(vault: ParquetVaultHook) -> None:
    with (root_of(vault) / "lists" / "sparse").open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(BadInputError, match=r"has 2,147,483,648 bytes, more than 1,073,741,824"):
        vault.open_list("lists/sparse")


def test_what_is_appended_while_it_is_read_is_not_read(vault: ParquetVaultHook) -> None:
    path = root_of(vault) / "lists" / "mine.csv"
    with vault.open_list("lists/mine.csv") as file, path.open("a") as growing:
        growing.write("x" * 1000)
        growing.flush()
        assert file.read() == f"video_id\n{VIDEO}\n".encode()


def test_the_deployment_allows_other_places(
    vault: ParquetVaultHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "mine.csv").write_text(VIDEO)
    (tmp_path / "given").symlink_to(tmp_path / "real")  # by whoever deploys
    monkeypatch.setenv(LIST_PREFIXES_ENVIRONMENT, f"{tmp_path}/given/, imports")
    vault.open_list(f"{tmp_path}/given/mine.csv").close()
    with pytest.raises(BadInputError, match=r"is not where forms may .*, which is below .*/given/ or imp"):
        vault.open_list("lists/mine.csv")
    with pytest.raises(BadInputError, match="No such file"):
        vault.open_list("imports/mine.csv")
    monkeypatch.setenv(LIST_PREFIXES_ENVIRONMENT, "")
    with pytest.raises(BadInputError, match="which is below nothing"):
        vault.open_list("lists/mine.csv")


@pytest.mark.parametrize("prefix", ["/", "/proc", "/proc/self", "/dev", "file:///", "/srv/../etc", "s3://bucket/lists"])
def test_a_prefix_that_allows_everything_is_a_bad_one(
    vault: ParquetVaultHook, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIST_PREFIXES_ENVIRONMENT, prefix)
    with pytest.raises(BadSettingsError, match=f"environment variable {LIST_PREFIXES_ENVIRONMENT}, "):
        vault.open_list("lists/mine.csv")


def test_of_a_bucket_only_the_vaults_connection_is_used(
    s3: S3Server, s3_root: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_THEIRS", s3.connection())
    vault = ParquetVaultHook(root=str(s3_root))
    (s3_root / "lists" / "mine.csv").write_text(VIDEO)
    (s3_root / "secret").write_text(SECRET)
    whole = str(s3_root / "lists" / "mine.csv")
    bare = whole.replace("test_s3@", "")
    for name in ("lists/mine.csv", whole, bare):
        with vault.open_list(name) as file:
            assert file.read() == VIDEO.encode()
    for name in (whole.replace("test_s3@", "theirs@"), f"theirs@{bare}", "secret", "lists/../secret", "/etc/passwd"):
        with pytest.raises(BadInputError):
            vault.open_list(name)
    with pytest.raises(BadInputError, match="cannot be read on this worker"):
        vault.open_list("lists/none.csv")
    monkeypatch.setattr(list_files, "LARGEST", 10)
    with pytest.raises(BadInputError, match="has 11 bytes, more than 10"):
        vault.open_list("lists/mine.csv")


# What is in a file


class Endless(io.RawIOBase):
    """So many bytes of a pattern, held nowhere."""

    def __init__(self, pattern: bytes, size: int) -> None:
        self._pattern = pattern
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return (self._pattern * (size // len(self._pattern) + 1))[:size]


def bad_lines(file: Endless) -> Iterator[BadLine]:
    return (each for each in read_list(decoded_lines(file)) if isinstance(each, BadLine))


@pytest.mark.parametrize(
    ("pattern", "megabytes"), [(b"\0", 40), (b"x", 20), (b"\n\n#", 1)], ids=["zeros", "one line", "nothing"]
)
def test_a_file_without_a_line_takes_little_memory(pattern: bytes, megabytes: int) -> None:
    tracemalloc.start()
    try:
        for bad in bad_lines(Endless(pattern, megabytes << 20)):
            assert len(str(bad)) < 600
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()


def test_a_row_of_many_quoted_lines_ends() -> None:
    lines = ["video_id,title\n", f"{VIDEO},a\n", '"', *['","\n'] * 300_000, '"\n', f"{VIDEO},b\n"]
    found = list(read_list(lines))
    assert "a row of more than 1,000,000 characters" in str(next(each for each in found if isinstance(each, BadLine)))


def test_a_column_that_is_not_there_tells_nothing_of_the_header() -> None:
    environ = "\0".join([f"AIRFLOW_CONN_YOUTUBE_DEFAULT={SECRET}", "HOME=/root"])
    for column in ("zzz", "9", "9" * 5_000):
        with pytest.raises(BadInputError) as caught:
            list(read_list([environ], column))
        assert "The list has no column '" in caught.value.message
        assert SECRET not in caught.value.message
        assert len(caught.value.message) < 250


def test_names_of_ambiguous_columns_are_cut() -> None:
    header = ",".join(f"column{number}{'x' * 1000}" for number in range(30))
    rows = [",".join(f"aaaaaaaa{number:02d}A" for number in range(first, first + 30)) for first in (10, 50)]
    with pytest.raises(BadInputError) as caught:
        list(read_list([header, *rows]))
    assert "could each be" in caught.value.message
    assert len(caught.value.message) < 400
