"""The newest point of every video, as a stream by id or of given videos, whichever layers have the points."""

import random
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost_tracking.errors import BadInputError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from newest_points import IDS, LATER, append, assert_newest, points


@pytest.mark.parametrize("months", [False, True])
def test_the_newest_point_is_found_in_whichever_layer_has_it(vault: ParquetVaultHook, *, months: bool) -> None:
    known = append(vault, points(range(0, 60, 7)))
    assert_newest(vault, known)
    vault.seal(LATER)
    vault.compact(LATER, months=months)
    assert_newest(vault, known)
    known += append(vault, points([300], IDS[:2]))  # a day of its own, which is not compacted
    known += append(vault, points([14], IDS[2:4], minute=5))  # late: its day is compacted
    known += append(vault, points([30], ["late"], minute=5))
    assert_newest(vault, known)
    vault.seal(LATER)
    vault.compact(LATER, months=months, keep_hours=False)
    assert_newest(vault, known)


def test_an_older_day_that_is_not_compacted_hides_no_newer_point(vault: ParquetVaultHook) -> None:
    known = append(vault, points([0, 30]))
    vault.seal(LATER)
    late = points([1], IDS[:3])
    vault.stage(late)
    vault.compact(LATER)
    known += append(vault, late)
    assert_newest(vault, known)


def test_columns_are_chosen_and_arguments_checked(vault: ParquetVaultHook) -> None:
    append(vault, points([0]))
    batch = next(vault.read_latest_batches(columns=["views", "video_id"]))
    assert batch.schema.names == ["views", "video_id"]
    for wrong in ({"columns": ["nothing"]}, {"first": "b", "end": "a"}, {"first": None}, {"end": 3}):
        with pytest.raises(BadInputError):
            vault.read_latest_batches(**wrong)  # type: ignore[arg-type]
    with pytest.raises(BadInputError):
        vault.read_latest_batches("AAAAAAAAAAA")


def test_an_empty_vault_has_no_newest_points(vault: ParquetVaultHook) -> None:
    vault.identity(create=True)
    assert list(vault.read_latest_batches()) == []
    assert vault.read_latest().empty
    assert vault.id_ranges() == [("", None)]


# Bounds, by counting


def test_given_videos_are_not_looked_for_beyond_the_newest_that_has_them(
    counted: Callable[[], tuple[ParquetVaultHook, Any]],
) -> None:
    vault, storage = counted()
    for day in range(5):
        append(vault, points([24 * day]))
    vault.seal(LATER)
    vault.compact(LATER, months=False)
    append(vault, points([24 * 8 + hour for hour in range(3)], IDS[:1]))
    storage.read_keys.clear()
    assert len(vault.read_latest(IDS[:1])) == 1
    assert (storage.of(layout.METRICS), storage.of(layout.HISTORY)) == (1, 0)
    storage.read_keys.clear()
    assert len(vault.read_latest(IDS[1:2])) == 1
    assert storage.of(layout.METRICS) == 3
    assert storage.of(layout.HISTORY) == 1  # of five


# Whatever was done to the vault, in whichever order

VERBS = ["append", "late", "seal", "compact days", "compact", "drop", "refresh"]
verbs = st.lists(st.sampled_from(VERBS), min_size=2, max_size=8)


@settings(max_examples=10)
@given(verbs, st.integers(0, 1000))
def test_every_order_of_verbs_gives_the_newest_points(
    tmp_path_factory: pytest.TempPathFactory, done: list[str], seed: int
) -> None:
    root = tmp_path_factory.mktemp("vault")
    vault = ParquetVaultHook(root=root, lock_timeout=5)
    dice = random.Random(seed)
    known = append(vault, points([0]))
    for number, verb in enumerate(done):
        if verb == "append":
            known += append(vault, points([20 * number + dice.randrange(20)], dice.sample(IDS, 3)))
        elif verb == "late":
            known += append(vault, points([dice.randrange(100)], dice.sample([*IDS, f"n{number}"], 2), 1 + number))
        elif verb == "seal":
            vault.seal(LATER)
        elif verb == "refresh":
            assert vault.refresh_latest(most_videos_a_shard=dice.choice([2, 3, 100])).problems == ()
        else:
            vault.compact(LATER, months=verb != "compact days", keep_hours=verb != "drop")
    assert_newest(vault, known)
    vault.publish()
    assert vault.verify().problems == ()
    shutil.rmtree(root)
