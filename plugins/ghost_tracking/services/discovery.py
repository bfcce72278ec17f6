"""Discovery: the sources of a task are asked, each from where its last hunt ended, for what is not on the schedule yet.

Nothing is noted of a source (its watermark, its memory) before what it named is on the schedule: see `Discovery.note`.
"""

import functools
import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ghost_tracking.core.budgets import Bucket, CallBudget
from ghost_tracking.core.discovery import Gap, wanted
from ghost_tracking.core.origins import Discovered, Place, origin_of
from ghost_tracking.core.points import EARLIEST
from ghost_tracking.core.source_memory import SourceMemory, united
from ghost_tracking.core.sources import ChannelSource, ChartSource, PlaylistSource, SearchSource, Source, VideosSource
from ghost_tracking.core.video_ids import is_video_id
from ghost_tracking.core.windows import Assignment, Window
from ghost_tracking.errors import (
    CallRejectedError,
    ConfigurationError,
    GhostTrackingError,
    PermanentError,
    QuotaExhaustedError,
    TransientError,
    YouTubeFaultError,
)
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.services.listings import Listing, Pages, read_listing
from ghost_tracking.services.searches import Search, SearchRound
from ghost_tracking.settings import Settings
from ghost_tracking.vault import Vault
from ghost_tracking.wording import pluralize
from ghost_tracking.youtube import YouTubeClient

log = logging.getLogger(__name__)

_LISTING_LASTS = timedelta(hours=6)
"""So long the runs of a backfill share one reading of a listing."""
_MOST_LISTED = 19_900
"""YouTube lists about 20,000 videos of a channel, and none beyond."""

Listed = ChannelSource | PlaylistSource


@dataclass
class Hunted:
    """What asking one source has brought.

    `ids`: the videos to be put on the schedule, of all those that it `named` (when each was published, where it tells).
    `until`: its watermark, and `memory` what to remember of it, once they are there (`before`: what is remembered now).
    `places`: where those stood that were read in this run, or that it takes of what an earlier one has read; None where
    that is not known. It was hunted from `since` on, and asked until `asked_until`, where that is more. `gaps`: what
    could not be had. `failure`: why it was not read to its end; what it had named until then counts. `is_put_off`: a
    search whose turn has not come.
    """

    source: Source
    ids: list[str] = field(default_factory=list)
    named: Mapping[str, datetime | None] = field(default_factory=dict)
    places: dict[str, Place | None] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    asked_until: datetime | None = None
    before: SourceMemory | None = None
    memory: SourceMemory | None = None
    gaps: list[Gap] = field(default_factory=list)
    failure: GhostTrackingError | None = None
    is_put_off: bool = False

    @property
    def known(self) -> int:
        """How many of those that it named are on the schedule already, as is remembered of it."""
        return len(self.named.keys() & self.before.scheduled - set(self.ids)) if self.before else 0

    def lacks(self, window: Window, reason: str) -> None:
        """Note that this window of the source could not be had whole."""
        if not window.is_empty:
            self.gaps.append(Gap(self.source.key, self.source.label, window, reason))


@dataclass(frozen=True)
class Discovery:
    """Asks sources, with its parts, the `budget` that they pay from and the time (`now`, aware) passed in.

    `is_own`: the run is about the deployment's own sources, not about some of its form: it keeps watermarks and
    memories. `trusts_memory`: the database is the one that the memories are about, and no restored one. `search_calls`
    and `past_calls`: how many pages of searches, and of the past of channels, may be asked for. `run_id`: the run that
    this is done for.
    """

    youtube: YouTubeClient
    budget: CallBudget
    watchlist: Schedule
    vault: Vault
    settings: Settings
    assignment: Assignment
    now: datetime
    is_own: bool = True
    trusts_memory: bool = True
    search_calls: int = 0
    past_calls: int = 0
    run_id: str | None = None

    def ask(self, sources: Sequence[Source]) -> list[Hunted]:
        """Ask these sources. One that fails stops no other; raises ConfigurationError, which all would meet."""
        if self._keeps:
            # a source that fails in its first run is hunted from there by the next one
            windowed = [source.key for source in sources if source.windowed]
            self.watchlist.watermarks.begin(windowed, self.assignment.window.start)
        keys = [source.key for source in sources]
        marks, new = self.watchlist.watermarks.of(keys), self.watchlist.watermarks.never_hunted(keys)
        hunted = []
        for source in sources:
            if not isinstance(source, SearchSource):
                window = self._window(marks.get(source.key))
                hunted.append(self._guarded(source, window, is_new=source.key in new))
        hunted += self._search([source for source in sources if isinstance(source, SearchSource)], marks)
        for each in hunted:
            _log(each)
        return hunted

    def discovered(self, hunted: Sequence[Hunted]) -> Iterator[Discovered]:
        """What these sources named, in which place; but what cannot be the id of a video."""
        for each in hunted:
            origin = origin_of(each.source, is_own=self.is_own)
            for video_id, place in each.places.items():
                if is_video_id(video_id):
                    yield Discovered(video_id, origin, self.now, place, self.run_id)

    def note(self, hunted: Sequence[Hunted]) -> None:
        """Note how far sources have been hunted, all of whose videos are on the schedule by now."""
        self.watchlist.watermarks.advance(
            {each.source.key: each.until for each in hunted if each.until is not None},
            {each.source.key: each.since for each in hunted if each.since is not None},
            {each.source.key: each.asked_until for each in hunted if each.asked_until is not None},
        )
        for each in hunted:
            memory = None if each.memory is None else self._without_forgotten(each.memory)
            if memory is not None and (each.before is None or not each.before.says_the_same_as(memory)):
                self.vault.source_memory.save(each.source.key, memory)
        for each in hunted:
            for gap in each.gaps:
                self.watchlist.watermarks.note_gap(gap)

    @property
    def _keeps(self) -> bool:
        """Whether watermarks and memories are kept."""
        return self.assignment.catches_up and self.is_own

    def _without_forgotten(self, memory: SourceMemory) -> SourceMemory:
        """What to remember: a video that somebody has had forgotten is named by its source still, and not by us."""
        return memory.without(self.watchlist.let_go.forgotten(memory.named))

    def _window(self, mark: datetime | None) -> Window:
        """Where a source is hunted. Past the run's end there is nothing new to hunt, but what it lists late counts."""
        window = self.assignment.window_of(mark)
        return Window(window.start, window.start) if window.is_empty else window

    def _memory(self, hunted: Hunted) -> SourceMemory | None:
        """What is remembered of a source, as far as it is about this database."""
        hunted.before = memory = self.vault.source_memory.load(hunted.source.key)
        if memory is None or self.trusts_memory:
            return memory
        return replace(memory, scheduled=frozenset(), complete_since=None)

    def _guarded(self, source: Source, window: Window, *, is_new: bool) -> Hunted:
        hunted = Hunted(source, since=window.start)
        try:
            self._ask(hunted, window, is_new=is_new)
        except ConfigurationError:
            raise  # the key, the project or a connection: no other source would fare better
        except (PermanentError, TransientError) as error:
            hunted.failure = error
        if isinstance(hunted.failure, QuotaExhaustedError) and source.windowed and not self._keeps:
            hunted.lacks(window, "YouTube's quota ran out before it was read")
        return hunted

    def _ask(self, hunted: Hunted, window: Window, *, is_new: bool) -> None:
        match hunted.source:
            case ChannelSource() | PlaylistSource(every=False) if self._keeps:
                self._look_behind_watermark(hunted, hunted.source, window, is_new=is_new)
            case ChannelSource() | PlaylistSource(every=False):
                self._look_into_window(hunted, hunted.source, window)
            case PlaylistSource():
                self._take_all(hunted, read_listing(self._pages(hunted.source), most=hunted.source.pages))
            case ChartSource(region=region, category=category, pages=pages):
                chart = Listing()
                for number, page in enumerate(self.youtube.chart_pages(region, category=category, pages=pages), 1):
                    chart.add(page, number)
                self._take_all(hunted, chart)
            case VideosSource(videos=videos):
                # they stand in no order
                self._take_all(hunted, Listing(dict.fromkeys(videos), places=dict.fromkeys(videos)))
        if isinstance(hunted.source, ChannelSource) and hunted.source.every and hunted.failure is None:
            self._bring_past(hunted, hunted.source)

    # Sources that list their videos

    def _pages(self, source: Listed) -> Pages:
        if isinstance(source, ChannelSource):
            return functools.partial(self.youtube.upload_pages, source.channel)
        return functools.partial(self.youtube.playlist_pages, source.playlist)

    def _read(
        self, source: Listed, since: datetime, *, exactly: bool, token: str | None = None, may_be_empty: bool = True
    ) -> Listing:
        """A channel's uploads back to what was published at `since`, whatever its `pages` say; all of a playlist."""
        pages = self._pages(source)
        if isinstance(source, ChannelSource):
            return read_listing(pages, since, exactly=exactly, token=token, may_be_empty=may_be_empty)
        return read_listing(pages, most=source.pages, may_be_empty=may_be_empty)

    def _take_all(self, hunted: Hunted, listing: Listing) -> None:
        """Everything that a source without a window names."""
        memory = self._memory(hunted)
        hunted.named, hunted.places, hunted.failure = listing.named, listing.places, listing.failure
        hunted.ids = [each for each in listing.named if memory is None or each not in memory.scheduled]
        if self._keeps:
            hunted.memory = united(memory, listing.named, listing.named, self.now)

    def _look_behind_watermark(self, hunted: Hunted, source: Listed, window: Window, *, is_new: bool) -> None:
        """What was published since the watermark, and what the pages name that this takes and nobody has seen there."""
        memory = self._memory(hunted)
        overlap = timedelta(0) if is_new else timedelta(hours=self.settings.hunter_overlap_hours)
        before = len(memory.named) if memory else 0
        listing = self._read(source, window.start - overlap, exactly=not overlap, may_be_empty=not before)
        if before and not listing.named:
            raise YouTubeFaultError(f"its listing came back empty, but had {pluralize(before, 'video')} before")
        hunted.named, hunted.places, hunted.failure = listing.named, listing.places, listing.failure
        in_order = isinstance(source, ChannelSource)
        # also what belongs to the next window: by then it may be gone
        reach = Window(window.start, max(window.end, self.now))
        hunted.ids = wanted(listing.named, memory, reach, is_new=is_new, in_order=in_order)
        if listing.failure is not None:
            return
        self._note_lacking(hunted, source, window, listing)
        past = {each: moment for each, moment in listing.named.items() if moment is None or moment < reach.end}
        known = memory.scheduled & past.keys() if memory else frozenset[str]()
        after = united(memory, past, known | set(hunted.ids), self.now)
        hunted.until, hunted.memory = window.end, replace(after, ended=after.ended or listing.ended)

    def _note_lacking(self, hunted: Hunted, source: Listed, window: Window, listing: Listing) -> None:
        """What the listing does not have of the window, although it was read as far as it can be."""
        if not listing.reached and not listing.ended:
            hunted.lacks(window, f"it has more than the {pluralize(source.pages, 'page')} that the source allows")
        elif listing.ended and len(listing.named) >= _MOST_LISTED:
            oldest = min((moment for moment in listing.named.values() if moment), default=window.end)
            hunted.lacks(Window(window.start, min(oldest, window.end)), "YouTube lists no more than 20,000 videos")

    def _look_into_window(self, hunted: Hunted, source: Listed, window: Window) -> None:
        """Exactly what a window published. The runs of a backfill share one reading of the listing for some hours."""
        key = f"listing of {source.key}"
        kept = self.vault.source_memory.load(key)
        if kept is not None and (kept.as_of < self.now - _LISTING_LASTS or kept.as_of < window.end):
            kept = None
        if kept is not None and kept.complete_since is not None and kept.complete_since <= window.start:
            hunted.named = kept.named
        else:
            # goes on with the page that was read last: what was taken down meanwhile moves up what follows
            listing = self._read(source, window.start, exactly=True, token=kept.next_token if kept else None)
            hunted.named, hunted.failure = {**(kept.named if kept else {}), **listing.named}, listing.failure
            hunted.places = listing.places
            if listing.failure is None:
                self._note_lacking(hunted, source, window, listing)
                reached = EARLIEST if listing.ended else window.start
                as_of = kept.as_of if kept else self.now
                memory = SourceMemory(as_of, hunted.named, complete_since=reached, next_token=listing.last_token)
                self.vault.source_memory.save(key, self._without_forgotten(memory))
        hunted.ids = wanted(hunted.named, None, window, is_new=True, in_order=False)
        hunted.places = {**dict.fromkeys(hunted.ids), **hunted.places}

    def _bring_past(self, hunted: Hunted, source: ChannelSource) -> None:
        """Send what a channel has had before to the import queue, page by page as the quota allows."""
        memory = hunted.memory or self._memory(hunted) or SourceMemory(self.now)
        ids = dict.fromkeys(memory.named.keys() - memory.scheduled)
        if not memory.ended:
            listing = self._read_past(source, memory.next_token)
            ids |= dict.fromkeys(listing.named)
            hunted.places = {**listing.places, **hunted.places}
            token = None if listing.ended else listing.last_token
            memory = replace(memory, ended=listing.ended, next_token=token)
        for video_id in self.watchlist.let_go.among(ids):
            del ids[video_id]
        if ids:
            self.vault.import_queue.submit(ids, _name_of_past(source))
            log.info("%s: %s of its past are in the import queue", source.label, pluralize(len(ids), "video"))
        # what waits in the queue will be on the schedule
        memory = replace(memory, scheduled=memory.scheduled | memory.named.keys())
        if self._keeps:
            hunted.memory = memory
        else:
            self.vault.source_memory.save(source.key, self._without_forgotten(memory))

    def _read_past(self, source: ChannelSource, token: str | None) -> Listing:
        try:
            return read_listing(self._pages(source), most=self.past_calls, token=token)
        except CallRejectedError:  # that page is no more: once more from the first one on
            return read_listing(self._pages(source), most=self.past_calls)

    # Searches

    def _search(self, sources: Sequence[SearchSource], marks: Mapping[str, datetime]) -> list[Hunted]:
        searches, hunted = [], {source.key: Hunted(source) for source in sources}
        asked = self.watchlist.watermarks.asked_until(list(hunted))
        for source in sources:
            window = self._window(marks.get(source.key))
            hunted[source.key].since = window.start
            oldest = window.end - timedelta(days=self.settings.hunter_catch_up_days)
            if self._keeps and window.start < oldest:
                lost = Window(min(oldest, max(window.start, asked.get(source.key, window.start))), oldest)
                hunted[source.key].lacks(lost, "searches do not go back that far")
                window = Window(oldest, window.end)
            if not window.is_empty:
                searches.append(self._search_of(hunted[source.key], source, window))
        SearchRound(self.youtube, self._may_search).run(searches)
        for search in searches:
            self._take(hunted[search.source.key], search)
        return [hunted[search.source.key] for search in searches]

    def _search_of(self, hunted: Hunted, source: SearchSource, window: Window) -> Search:
        if not self._keeps:
            return Search(source, window.start, window.end)
        memory, covered = self._memory(hunted), None
        if memory and memory.complete_since and window.start <= memory.complete_since < memory.as_of < window.end:
            covered = Window(memory.complete_since, memory.as_of)
        overlap = timedelta(minutes=self.settings.hunter_search_overlap_minutes)
        return Search(source, window.start, window.end, overlap, covered)

    def _may_search(self) -> bool:
        """Whether this task may send one more call; those that failed count too."""
        return self.budget.spent[Bucket.SEARCH] < self.search_calls

    def _take(self, hunted: Hunted, search: Search) -> None:
        hunted.named, hunted.failure = search.named, search.failure
        hunted.places = dict(search.places)
        hunted.ids = list(search.named)
        hunted.is_put_off = not search.was_asked
        if not search.was_asked and not self.watchlist.quota.left(now=self.now)[Bucket.SEARCH]:
            hunted.failure = QuotaExhaustedError.of(Bucket.SEARCH)
        if self._keeps:
            hunted.until, covered = search.done, search.covered
            if search.was_asked:
                hunted.asked_until = search.last_look if search.missing.is_empty else None
                hunted.memory = SourceMemory(
                    covered.end if covered else search.end, complete_since=covered.start if covered else None
                )
        elif not search.missing.is_empty and (hunted.failure is None or hunted.is_put_off):
            hunted.lacks(search.missing, "it has more than its pages and the calls of this run allow")


def _name_of_past(source: ChannelSource) -> str:
    """The name of the list of a channel's past; handles can have letters that names of lists cannot."""
    channel = source.channel.removeprefix("@")
    if re.fullmatch(r"[\w.-]{1,70}", channel, re.ASCII):
        return f"past-of-{channel}"
    return f"past-of-{hashlib.sha256(channel.encode()).hexdigest()[:16]}"


def _log(hunted: Hunted) -> None:
    if hunted.failure is not None:
        log.warning("%s failed: %s", hunted.source.label, hunted.failure.message)
    elif hunted.is_put_off:
        log.info("%s: put off to a later run", hunted.source.label)
    else:
        named = pluralize(len(hunted.named), "video")
        log.info("%s: %s, of which %s to be looked up", hunted.source.label, named, f"{len(hunted.ids):,}")
    for gap in hunted.gaps:
        log.warning("Not read completely: %s", gap)
