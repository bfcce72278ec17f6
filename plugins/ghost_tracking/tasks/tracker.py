"""The bodies of the tracker's tasks: plan, track, publish, verdict."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ghost_tracking.core.batches import LARGEST_BATCH, Batch, in_whole_calls, make_batches, share_out
from ghost_tracking.core.budgets import IDS_PER_CALL, STATISTICS_BUCKETS, Bucket, CallBudget, calls_for
from ghost_tracking.core.heat import HeatRule
from ghost_tracking.core.pacing import QuotaStatus, quota_status, set_aside
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.roster import CHUNK_SIZE, Chunk, Visit, as_of_chunk, settle_visits, visit
from ghost_tracking.core.schedule import Outcome, WatchlistEntry, keeping_slot, settle
from ghost_tracking.core.tiers import Queue
from ghost_tracking.core.video_ids import parse_brought_video
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.core.wording import counted, printable
from ghost_tracking.errors import BadInputError, QuotaExhaustedError, TransientError, YouTubeFaultError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.postgres.quota import QuotaLedger
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.settings import Settings, read_settings
from ghost_tracking.tasks import alerting, metrics
from ghost_tracking.tasks.body import Label, calling_youtube, calls, results, task_body
from ghost_tracking.tasks.deployment import ready
from ghost_tracking.youtube import YouTubeClient
from ghost_tracking.youtube.results import BatchResult

if TYPE_CHECKING:
    from ghost_tracking.vault.promotion import TrendState

log = logging.getLogger(__name__)

_SHOWN = 20
_ONE_BAD_ID = 12
"""Calls that halve one of fifty ids down to the bad one."""

_TOTALS = ("tracked", "missing", "gone", "returned", "heated", "refused", "left_due")


@task_body
def plan(run_type: str, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Share out what is due, within what the quota allows: `batches` (a token for each mapped task) and `why`.

    The run's form can name `videos` to read now, due or not, or narrow the run to some `queues` and a `limit`.
    """
    if run_type == "backfill":
        return _planned("A backfill tracks nothing: YouTube gives counts of the present only, and none is invented.")
    form = form or {}
    settings, videos = read_settings(), _named(form)
    by_hand = run_type == "manual"
    with WatchlistHook(budgets=settings.quota) as watchlist:
        vault = ParquetVaultHook()
        common = {"vault": ready(watchlist, vault), "by_hand": by_hand}
        _refuse_forgotten(videos, watchlist)
        if videos:
            slices = [{"first": first, "stop": first + LARGEST_BATCH} for first in range(0, len(videos), LARGEST_BATCH)]
            return _planned(
                f"{counted(len(videos), 'video')} of the run's form {'is' if len(videos) == 1 else 'are'} read now.",
                [each | common for each in slices],
            )
        tracking = Tracking(watchlist, settings, by_hand=by_hand)
        quota = tracking.quota()
        metrics.schedule(watchlist, quota)
        alerting.watch(watchlist, vault, quota, settings)
        batches, why = tracking.share(queues=form.get("queues") or list(Queue), limit=form.get("limit"))
    return _planned(why, [batch.as_dict() | common for batch in batches])


def _named(form: Mapping[str, Any]) -> list[str]:
    """The ids of the videos that the form names, each once. Raises BadInputError for what names none."""
    found, bad = dict[str, None](), []
    for number, line in enumerate(form.get("videos") or [], 1):
        try:
            if line.strip():
                found[parse_brought_video(line)] = None
        except ValueError as error:
            bad.append(f"line {number}: {error}")
    if bad:
        raise BadInputError(f"{len(bad)} of the form's videos cannot be used, none was read: {'; '.join(bad[:5])}")
    return list(found)


def _refuse_forgotten(videos: Sequence[str], watchlist: WatchlistHook) -> None:
    """BadInputError where somebody has had any of these forgotten: a reading would be a trace of it."""
    forgotten = watchlist.let_go.forgotten(videos)
    if forgotten:
        raise BadInputError(
            f"{counted(len(forgotten), 'of these videos was', 'of these videos were')} forgotten on request, first "
            f"{min(forgotten)}: leave them out, or resume them before; none was read"
        )


def _planned(why: str, tokens: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    log.info(why)
    return {"batches": list(tokens), "why": why}


@task_body
def track(token: Mapping[str, Any], label: Label, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Claim a batch, ask YouTube, stage the points, reschedule. What it leaves undone is due in the next run.

    Raises a TransientError after everything that was answered is safe, so that the run's colour tells the truth.
    """
    settings, vault = read_settings(), ParquetVaultHook()
    videos = _named(form or {})[token["first"] : token["stop"]] if "first" in token else None
    batch = Batch(Queue.DAILY, len(videos), strict=True) if videos is not None else Batch.from_dict(token)
    name = batch.queue.value if videos is None else "form"
    label(f"{name}: {counted(batch.limit, 'video')}")
    with WatchlistHook(budgets=settings.quota) as watchlist:
        ready(watchlist, vault, token["vault"])
        budget, affordable = reserve(watchlist.quota, batch, settings, by_hand=token["by_hand"])
        tracking = Tracking(watchlist, settings)
        with calling_youtube(watchlist.quota, budget, settings) as youtube:
            if videos is not None:
                done = tracking.read_now(videos, youtube, vault)
            else:
                done = tracking.follow(batch, affordable, youtube, vault)
    alerting.tell_of_heat(done.heated, settings)
    report = _report(name, done) | {"calls": calls(budget)}
    label(_label(report))
    _raise_failures(done)
    return report


@dataclass(frozen=True)
class Done:
    """What became of a batch. `claimed`: how many videos it had."""

    answer: BatchResult[Reading]
    claimed: int
    newly_gone: int = 0
    returned: int = 0
    heated: Sequence[str] = ()
    is_fault: bool = False


@dataclass(frozen=True)
class Tracking:
    """What a tracker run does, with its hooks and the time passed in.

    `now` (None: the clocks of the database and of this worker) decides what is due. A run that somebody has triggered
    (`by_hand`) may spend what is reserved for such runs.
    """

    watchlist: Schedule
    settings: Settings
    now: datetime | None = None
    by_hand: bool = False

    def share(self, queues: Collection[str] = tuple(Queue), limit: int | None = None) -> tuple[list[Batch], str]:
        """The batches of a run over these queues, with `limit` videos at most, and in a sentence why they are these."""
        due = {queue: counts for queue, counts in self.watchlist.status.due(self.now).items() if queue in queues}
        total = sum(sum(counts) for counts in due.values())
        if total == 0:
            next_due_at = self.watchlist.status.next_due_at()
            when = f"the next video is due at {next_due_at:%Y-%m-%d %H:%M} UTC" if next_due_at else "none is tracked"
            return [], f"Nothing is due: {when}."
        quota = self.quota({queue: sum(counts) for queue, counts in due.items()})
        calls_allowed = quota.allowed_by_hand if self.by_hand else quota.allowed
        most = min(calls_allowed * IDS_PER_CALL, self.settings.tracker_videos_a_run, limit or total)
        shares = share_out(due, most)
        if calls_allowed * IDS_PER_CALL == most < total:
            shares = in_whole_calls(shares)
        batches = make_batches(shares, self.settings.tracker_parallel_tasks, strict=total > most)
        due_now, tracked = counted(total, "video is", "videos are"), counted(sum(shares.values()), "is", "are")
        why = f"{due_now} due, {tracked} tracked now in {counted(len(batches), 'batch', 'batches')}."
        if not batches:
            stays = "stays" if total == 1 else "stay"
            why = f"{due_now} due and {stays} so: YouTube's quota is used up, or kept for later runs."
        if quota.is_paced:
            why += (
                f" Quota is short and spread over the day: {counted(quota.calls_due, 'call is', 'calls are')} due, "
                f"{quota.needed:,.0f} are needed a day, {quota.left:,} are left until {quota.day.end:%H:%M} UTC; "
                f"intervals are {quota.stretch:.2g} times as long."
            )
        return batches, why

    def quota(self, due: Mapping[Queue, int] | None = None) -> QuotaStatus:
        """What the quota allows with so much due (None: counted)."""
        if due is None:
            due = {queue: sum(counts) for queue, counts in self.watchlist.status.due(self.now).items()}
        ledger = self.watchlist.quota
        balances, day = ledger.balances(now=self.now), ledger.today(now=self.now)
        return quota_status(self.watchlist.status.queues(), due, balances, self.settings.quota_reserves, day)

    def follow(self, batch: Batch, affordable: int, youtube: YouTubeClient, vault: ParquetVaultHook) -> Done:
        """Claim a batch's videos, as many as are `affordable`, ask for them, stage what YouTube says, reschedule."""
        limit = min(batch.limit, affordable)
        if batch.queue.in_chunks:
            return self._follow_chunks(batch.queue, limit, limit if batch.strict else affordable, youtube, vault)
        return self._follow_rows(batch.queue, limit, youtube, vault)

    def read_now(self, videos: Sequence[str], youtube: YouTubeClient, vault: ParquetVaultHook) -> Done:
        """Ask for these videos, due or not. Those on the watchlist keep their slots; others get a point only."""
        with self.watchlist.entries.claim_videos(videos, deadline=self._within) as claim:
            entries = {entry.video_id: entry for entry in claim.entries}
            unknown = [each for each in videos if each not in entries or entries[each].anchor_at is None]
            answer = youtube.statistics(videos, within=self._within, unknown=unknown)
            outcome = self._settle(entries, answer)
            vault.stage(_points(answer, entries))
            vault.stage_availability(outcome.events)
            # a reading between two slots stands for neither
            claim.reschedule(keeping_slot(entries[each.video_id], each, self._present) for each in outcome.entries)
        return Done(answer, len(videos), outcome.newly_gone, outcome.returned, is_fault=outcome.is_fault)

    def _follow_rows(self, queue: Queue, limit: int, youtube: YouTubeClient, vault: ParquetVaultHook) -> Done:
        with self.watchlist.entries.claim(queue.tier, limit, deadline=self._within, now=self.now) as claim:
            entries = {entry.video_id: entry for entry in claim.entries}
            answer = youtube.statistics(
                list(entries),
                within=self._within,
                upcoming=[entry.video_id for entry in claim.entries if entry.awaits_start],
                gone=[entry.video_id for entry in claim.entries if entry.is_gone],
                unknown=[entry.video_id for entry in claim.entries if entry.anchor_at is None],
                # a bad id spoils no healthy one's call a second time
                suspect=[entry.video_id for entry in claim.entries if entry.absence and not entry.is_gone],
            )
            outcome = self._settle(entries, answer)
            # the vault first, the schedule second: a crash in between costs a second observation, never a lost one
            vault.stage(_points(answer, entries))
            vault.stage_availability(outcome.events)
            self._keep_metadata(answer.videos, vault)
            claim.reschedule(outcome.entries)
        return Done(answer, len(entries), outcome.newly_gone, outcome.returned, is_fault=outcome.is_fault)

    def _follow_chunks(
        self, queue: Queue, limit: int, most: int, youtube: YouTubeClient, vault: ParquetVaultHook
    ) -> Done:
        with self.watchlist.roster.claim(queue, limit, deadline=self._within, now=self.now) as claim:
            visits = self._visits(claim.chunks, most, vault)
            # two chunks that share a video, for a while, are due at the same time
            wanted = list(dict.fromkeys(video_id for each in visits for video_id in each.wanted))
            answer = youtube.statistics(wanted, within=self._within, gone=wanted if queue is Queue.GONE else ())
            for each in visits:
                answer.found |= as_of_chunk(each, answer.found)
            heated, memories = self._compare(visits, answer, vault)
            # of what could not be confirmed next week's visit tells more: were YouTube at fault, all would leave
            asked = {*answer.malformed, *answer.faulty, *answer.unconfirmed}
            outcome = settle_visits(visits, answer.found, answer.missing, asked, heated, self._present, answer.failed)
            vault.stage(_points(answer))
            vault.stage_availability(outcome.events)
            claim.reschedule(outcome.chunks, outcome.entries, gone=[id_ for each in visits for id_ in each.unseen])
        # afterwards, since it is only a help: what was not remembered is found out anew
        for name, memory in memories.items():
            vault.roster.remember(name, memory)
        return Done(answer, len(wanted), 0, len(outcome.events), sorted(heated), outcome.is_fault)

    def _settle(self, entries: Mapping[str, WatchlistEntry], answer: BatchResult[Reading]) -> Outcome:
        """What becomes of rows; the answer may be about other videos as well."""
        found = {video_id: answer.found[video_id] for video_id in entries if video_id in answer.found}
        missing, malformed = answer.missing & entries.keys(), answer.malformed.keys() & entries.keys()
        doubtful = (answer.unconfirmed | answer.faulty.keys()) & entries.keys()
        failed = answer.failed & entries.keys()
        return settle(entries, found, missing, malformed, self._present, doubtful, failed)

    def _keep_metadata(self, videos: Mapping[str, Video], vault: ParquetVaultHook) -> None:
        """Write metadata that came with first readings, where a video was put on the schedule without any."""
        if videos:
            fresh = set(self.watchlist.videos.ingest(videos.values(), now=self.now))
            kept = [video for video in videos.values() if video.id in fresh]
            vault.stage_videos(kept, self.now or self.watchlist.videos.discovery_time())

    def _compare(
        self, visits: Iterable[Visit], answer: BatchResult[Reading], vault: ParquetVaultHook
    ) -> "tuple[dict[str, datetime], dict[str, TrendState]]":
        """Until when videos are heated that have become hot, and what to remember of each chunk."""
        rule = heat_rule(self.settings)
        heated: dict[str, datetime] = {}
        memories: dict[str, TrendState] = {}
        for each in visits:
            if rule is not None and not each.chunk.gone:
                hot, memories[each.chunk.name] = vault.roster.compare(each.chunk.name, each.ids, answer.found, rule)
                heated |= dict.fromkeys(hot, self._present + rule.lasts)
        return heated, memories

    def _visits(self, chunks: Iterable[Chunk], most: int, vault: ParquetVaultHook) -> list[Visit]:
        """Which ids of these chunks to ask for, `most` in all; those with a row on the watchlist are read there."""
        visits: list[Visit] = []
        for chunk in chunks:
            ids = vault.roster.read(chunk.name)
            watched = self.watchlist.entries.seen(ids)
            unseen = [id_ for id_, seen in watched.items() if seen is None] if chunk.gone else []
            # a row that is being read at this moment tells its return to the next visit
            kept = set(unseen) - self.watchlist.entries.mark_gone(unseen, now=self.now)
            visits.append(visit(chunk, ids, watched, most, kept))
            most -= len(visits[-1].positions)
        return visits

    @property
    def _within(self) -> timedelta:
        return timedelta(seconds=self.settings.tracker_batch_seconds)

    @property
    def _present(self) -> datetime:
        return self.now or datetime.now(UTC)


def _points(
    answer: BatchResult[Reading], entries: Mapping[str, WatchlistEntry] = MappingProxyType({})
) -> list[MetricPoint]:
    """What was read, as points: where an answer does not tell when a video was published, its row may."""
    points = []
    for video_id, reading in answer.found.items():
        entry = entries.get(video_id)
        known = reading.published_at or (entry.anchor_at if entry and not entry.awaits_start else None)
        points.append(replace(reading.point, published_at=known))
    return points


def heat_rule(settings: Settings) -> HeatRule | None:
    """The rule that a deployment has set; None where nothing is to become hot."""
    if settings.reheat_factor is None:
        return None
    lasts = timedelta(days=settings.reheat_days)
    return HeatRule(settings.reheat_factor, settings.reheat_least_views_a_day, lasts)


def reserve(
    ledger: QuotaLedger, batch: Batch, settings: Settings, *, now: datetime | None = None, by_hand: bool = False
) -> tuple[CallBudget, int]:
    """Quota for a batch, and how many videos it is enough for.

    A tenth more is reserved for calls that have to be made again, with what it takes to find one bad id, and of the
    general bucket enough to confirm that a fifth of the videos is missing, and to read rows without an anchor; what is
    not needed goes back.
    """
    day = ledger.today(now=now)
    leave = {bucket: set_aside(settings.quota_reserves[bucket], day) for bucket in STATISTICS_BUCKETS}
    if by_hand:
        leave[Bucket.STATISTICS] = 0
    videos = batch.limit + (CHUNK_SIZE if batch.queue.in_chunks and not batch.strict else 0)
    needed = calls_for(videos)
    again = 4 + needed // 10 + _ONE_BAD_ID
    with ledger.together():
        statistics = ledger.reserve(Bucket.STATISTICS, needed + again, leave=leave[Bucket.STATISTICS], now=now)
        overflow = max(0, needed - statistics)
        confirming = 1 + calls_for(videos // 5)
        firsts = 0 if batch.queue.in_chunks else needed
        wanted = overflow + confirming + (again if overflow else firsts)
        general = ledger.reserve(Bucket.GENERAL, wanted, leave=leave[Bucket.GENERAL], now=now)
    budget = CallBudget({Bucket.STATISTICS: statistics, Bucket.GENERAL: general})
    return budget, min(videos, (statistics + (general if overflow else 0)) * IDS_PER_CALL)


def _report(queue: str, done: Done) -> dict[str, Any]:
    answer = done.answer
    refused = answer.malformed | answer.faulty
    for video_id, reason in list(refused.items())[:_SHOWN]:
        log.warning("Set aside %s, which cannot be read: %s", printable(video_id), printable(reason))
    return {
        "queue": queue,
        "claimed": done.claimed,
        "tracked": len(answer.found),
        "missing": len(answer.missing),
        "gone": done.newly_gone,
        "returned": done.returned,
        "heated": len(done.heated),
        "refused": len(refused),
        "unconfirmed": len(answer.unconfirmed),
        "left_due": len(answer.pending),
    }


def _label(report: Mapping[str, Any]) -> str:
    named = ("missing", "returned", "heated", "refused", "unconfirmed", "left_due")
    rest = [f"{report[name]:,} {name.replace('_', ' ')}" for name in named if report[name]]
    return f"{report['queue']}: " + ", ".join([f"{report['tracked']:,} tracked", *rest])


def _raise_failures(done: Done) -> None:
    """An empty bucket is no failure: what it left is due tomorrow. Calls that failed are."""
    answer = done.answer
    failures = [error for error in answer.failures if not isinstance(error, QuotaExhaustedError)]
    if failures:
        raise TransientError(
            f"{counted(len(failures), 'call')} failed, {counted(len(answer.pending), 'video stays', 'videos stay')} "
            f"due: {failures[0].message}"
        )
    if done.is_fault:
        raise YouTubeFaultError(
            f"{len(answer.missing):,} of the batch's videos were missing at once: "
            "taken for a fault of YouTube, none is marked gone"
        )


def verdict(why: str, reports: Sequence[Mapping[str, Any] | None] | None) -> dict[str, Any]:
    """What the run did in all. Airflow runs this task only when nothing before it has failed."""
    done = results(reports)
    totals = {name: sum(report[name] for report in done) for name in _TOTALS}
    message = f"{why} Tracked {totals['tracked']:,}." if done else why
    metrics.run(totals)
    log.info(message)
    return {"message": message, **totals}
