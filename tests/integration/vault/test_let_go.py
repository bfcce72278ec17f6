"""The vault's list of what was let go: the later decision holds, several may write it, and it tells what is done."""

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from ghost_tracking.core.let_go import Change, State
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from ghost_tracking.vault.let_go import Kept

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_the_later_decision_holds_and_is_to_be_carried_out(vault: ParquetVaultHook) -> None:
    assert vault.let_go.all() == {}
    paused, stopped = Change("a", State.PAUSED, NOW), Change("a", State.STOPPED, NOW + HOUR)
    assert vault.let_go.note([stopped, Change("b", State.FORGOTTEN, NOW)]) == 2
    assert vault.let_go.note([paused, stopped]) == 0
    assert vault.let_go.all()["a"] == Kept(stopped)
    vault.let_go.applied(["a", "b", "unknown"], NOW + 2 * HOUR)
    vault.let_go.checked(["b"], NOW + 5 * HOUR)
    assert vault.let_go.all()["b"] == Kept(Change("b", State.FORGOTTEN, NOW), NOW + 2 * HOUR, NOW + 5 * HOUR)
    again = Change("a", State.FORGOTTEN, NOW + 3 * HOUR)
    assert vault.let_go.note([again]) == 1
    assert vault.let_go.all()["a"] == Kept(again)
    # what was carried out was the decision before
    vault.let_go.applied(["a"], NOW + 2 * HOUR)
    assert vault.let_go.all()["a"] == Kept(again)
    vault.let_go.reopen(["b"])
    assert vault.let_go.all()["b"] == Kept(Change("b", State.FORGOTTEN, NOW))


def test_several_may_write_at_once(vault: ParquetVaultHook) -> None:
    changes = [Change(f"video{number}", State.PAUSED, NOW) for number in range(8)]
    with ThreadPoolExecutor(4) as threads:
        noted = list(threads.map(lambda each: vault.let_go.note([each]), changes))
    assert noted == [1] * 8
    assert {each.change for each in vault.let_go.all().values()} == set(changes)


def test_anybody_can_read_it(vault: ParquetVaultHook) -> None:
    vault.let_go.note([Change("a", State.PAUSED, NOW)])
    frame = pd.read_parquet(io.BytesIO(vault._storage.read(layout.LET_GO).data))
    assert frame[["video_id", "state"]].to_numpy().tolist() == [["a", "paused"]]


def test_a_damaged_list_says_what_to_do(vault: ParquetVaultHook) -> None:
    vault.let_go.note([Change("a", State.PAUSED, NOW)])
    vault._storage.put(layout.LET_GO, vault._storage.read(layout.LET_GO).data[:-9])
    with pytest.raises(UnreadableFileError, match=r"let_go\.parquet is damaged .* rebuilt from the database's list"):
        vault.let_go.all()
    vault._storage.delete([layout.LET_GO])
    assert vault.let_go.all() == {}
