"""Audits: who is drawn for one, and what the readings after them tell of the curves."""

import logging
import random
import string
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from ghost_tracking.core.audits import MOST_A_DAY, Audit, AuditPick
from ghost_tracking.core.budgets import IDS_PER_CALL
from ghost_tracking.core.pacing import RUN_INTERVAL
from ghost_tracking.core.policies import ReadingPlan
from ghost_tracking.core.roster import Chunk
from ghost_tracking.core.tiers import Queue
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.settings import Settings
from ghost_tracking.vault import Vault

log = logging.getLogger(__name__)

_CHUNKS = 5
"""Chunks of the roster from which the settled videos of one call are drawn."""
_MOST_OPEN = 2_000
_OFTEN = MOST_A_DAY / IDS_PER_CALL * (RUN_INTERVAL / timedelta(days=1))
_ID_LETTERS = string.ascii_letters + string.digits + "-_"


def draw(
    watchlist: Schedule,
    vault: Vault,
    settings: Settings,
    plan: ReadingPlan,
    readings: int,
    chance: random.Random | None = None,
) -> list[AuditPick]:
    """Whom to audit in a run of so many `readings`: mostly nobody, now and then as many as one call asks for.

    Nobody while every slot is read: there is nothing to be told then that readings do not tell.
    """
    chance = chance or random.SystemRandom()
    calls = settings.audit_share * readings / IDS_PER_CALL
    if plan.threshold <= 0 or not plan.is_known or chance.random() >= min(calls, _OFTEN):
        return []
    queues = watchlist.status.queues()
    rows = sum(queues[queue] for queue in Queue if not queue.in_chunks)
    settled = queues[Queue.ROSTER]
    if not rows + settled:
        return []
    wanted = sum(chance.random() < settled / (rows + settled) for _ in range(IDS_PER_CALL))
    texts = ["".join(chance.choices(_ID_LETTERS, k=11)) for _ in range(IDS_PER_CALL - wanted)]
    return [*watchlist.audits.draw(texts), *_settled(watchlist, vault, wanted, chance)]


def _settled(watchlist: Schedule, vault: Vault, wanted: int, chance: random.Random) -> list[AuditPick]:
    """So many videos of the roster, fewer where nothing is known of them."""
    if not wanted:
        return []
    chunks = watchlist.audits.draw_chunks(_CHUNKS)
    picks: dict[str, AuditPick] = {}
    for number, chunk in enumerate(chunks):
        share = wanted * (number + 1) // len(chunks) - wanted * number // len(chunks)
        with suppress(UnreadableFileError):  # its next visit reports it
            picks |= {each.video_id: each for each in _of_chunk(vault, chunk, share, chance)}
    return list(picks.values())


def _of_chunk(vault: Vault, chunk: Chunk, wanted: int, chance: random.Random) -> list[AuditPick]:
    here = [position for position in range(chunk.ids) if position not in chunk.removed_positions]
    drawn = chance.sample(here, min(wanted, len(here)))
    ids, memory = vault.roster.read(chunk.name), vault.roster.memory(chunk.name, chunk.ids)
    rows = [memory.row(position, ids[position]) for position in drawn]
    return [
        AuditPick(row.video_id, Queue.ROSTER, row.views, row.last_tracked_at)
        for row in rows
        if row.views is not None and row.last_tracked_at is not None
    ]


def close_open(watchlist: Schedule, vault: Vault, *, now: datetime | None = None) -> int:
    """Look up the readings after audits that had none yet; returns how many have one now.

    Reads the history of each, 2,000 at most: some ten milliseconds a video.
    """
    opened = watchlist.audits.open(_MOST_OPEN, now=now)
    closed = [found for each in opened if (found := _closed(vault, each))]
    watchlist.audits.close(closed)
    log.info("Of %s audits, %s have a reading after them now", f"{len(opened):,}", f"{len(closed):,}")
    return len(closed)


def _closed(vault: Vault, audit: Audit) -> Audit | None:
    try:
        points = vault.read_history(audit.video_id, start=audit.at + timedelta(seconds=1))
    except UnreadableFileError:  # the nightly check reports it
        return None
    told = points[points["views"].notna()]
    if told.empty:
        return None
    first = told.iloc[0]
    return replace(audit, next_at=first["timestamp"].to_pydatetime(), next_views=int(first["views"]))


def as_data(picks: Sequence[AuditPick]) -> list[dict[str, object]]:
    """Plain data, for the batch of a run."""
    return [
        {
            "video_id": each.video_id,
            "queue": each.queue.value,
            "held_views": each.held_views,
            "held_at": each.held_at.isoformat(),
        }
        for each in picks
    ]


def from_data(given: Sequence[dict[str, str]]) -> list[AuditPick]:
    """What `as_data` has made of picks."""
    return [
        AuditPick(
            each["video_id"], Queue(each["queue"]), int(each["held_views"]), datetime.fromisoformat(each["held_at"])
        )
        for each in given
    ]
