"""Searches, the dear source: a hundred calls a day are shared by all of them, and each finds the newest fifty first.

So a search is looked at from the newest video down, as far as calls allow, and what is older is searched by later runs:
what lies between its watermark and what it has *covered* since. Nothing of that is remembered but a few times.

An answer without a video proves little: it may be a fault. So the time that it was about is asked for again by the next
run, and the one after that, until an answer has some; that takes no more calls, however long the time has become.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ghost_tracking.core.origins import Place
from ghost_tracking.core.sources import SearchSource
from ghost_tracking.core.windows import Window
from ghost_tracking.errors import ConfigurationError, GhostTrackingError, PermanentError, TransientError
from ghost_tracking.youtube import YouTubeClient

_SECOND = timedelta(seconds=1)


@dataclass
class Search:
    """A search under way towards `end` (times are aware).

    `done`: all before has been searched, and asked for once more for as long as `overlap`. `covered`: what has been
    searched beyond that already. `named`: what it found in this run, and when each was published; `places`: where each
    stood among the results of the window that it was found in. `failure`: why it
    was not asked any further; `was_asked`: whether its turn came; `is_stuck`: whether a look further back found nothing
    in an answer that proves nothing.
    """

    source: SearchSource
    done: datetime
    end: datetime
    overlap: timedelta = timedelta(0)
    covered: Window | None = None
    named: dict[str, datetime | None] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    failure: GhostTrackingError | None = None
    was_asked: bool = False
    is_stuck: bool = False

    @property
    def last_look(self) -> datetime:
        """Up to when it has been searched, whatever is missing before."""
        return self.covered.end if self.covered else self.done

    @property
    def missing(self) -> Window:
        """What has not been searched yet."""
        return Window(self.done, self.covered.start if self.covered else self.end)

    @property
    def is_behind(self) -> bool:
        """Whether it was looked at in this run, and something is missing before that."""
        return self.was_asked and self.failure is None and not self.is_stuck and not self.missing.is_empty


@dataclass
class SearchRound:
    """The searches of a run, with the calls that it may send: `may_call` says whether there is one left."""

    youtube: YouTubeClient
    may_call: Callable[[], bool]

    def run(self, searches: list[Search]) -> None:
        """Ask all of them, that of the oldest look first; then, while calls last, for what is missing before.

        One that fails stops no other. Raises ConfigurationError, which all would meet.
        """
        for search in sorted(searches, key=lambda each: each.last_look):
            if self.may_call():
                self._guarded(search, self._look_at_newest)
        while self.may_call():
            behind = [each for each in searches if each.is_behind]
            if not behind:
                break
            self._guarded(min(behind, key=lambda each: each.done), self._look_further_back)

    def _guarded(self, search: Search, look: Callable[[Search], None]) -> None:
        search.was_asked = True
        try:
            look(search)
        except ConfigurationError:
            raise
        except (PermanentError, TransientError) as error:
            search.failure = error

    def _look_at_newest(self, search: Search) -> None:
        """What was published since the last look, or since the watermark where nothing is missing behind that one."""
        covered = search.covered if not search.missing.is_empty else None
        start = covered.end if covered else search.done
        before = len(search.named)
        since = self._search(search, Window(start - search.overlap, search.end))
        if len(search.named) == before:
            # what has no video is asked for again; where nothing is missing before, its turn comes after the others'
            search.covered = covered or Window(search.done, search.end)
        elif since > start:
            # what was covered before is searched once more, which costs calls and loses nothing
            search.covered = Window(since, search.end)
        elif covered:
            search.covered = Window(covered.start, search.end)
        else:
            search.done, search.covered = search.end, None

    def _look_further_back(self, search: Search) -> None:
        """What is missing before what is covered; there was more, so an answer without a video is asked for twice."""
        covered = search.covered or Window(search.end, search.end)
        before = len(search.named)
        since = self._search(search, search.missing)
        if len(search.named) == before:
            since = max(since, self._search(search, search.missing))
            search.is_stuck = len(search.named) == before and since > search.done
        if since <= search.done:
            search.done, search.covered = covered.end, None
        else:
            search.covered = Window(since, covered.end)

    def _search(self, search: Search, window: Window) -> datetime:
        """Search a window, the newest first, for as many pages as the source allows: from when on it is searched.

        A page without a video says nothing where more is to follow, or was.
        """
        source = search.source
        ask = functools.partial(
            self.youtube.search_page,
            window.start,
            window.end,
            query=source.search,
            region=source.region,
            language=source.language,
            category=source.category,
            channel_id=source.channel,
        )
        since, token, seen, rank = window.end, None, set[str](), 0
        for number in range(1, source.pages + 1):
            if not self.may_call():
                return since
            page = ask(token)
            here = [each for each in page.found if each.is_published_in(window.start, window.end)]
            search.named |= {each.video_id: each.published_at for each in here}
            for place, each in enumerate(page.found, rank + 1):
                if each in here:
                    search.places.setdefault(each.video_id, Place(place, number))
            rank += len(page.found)
            if not page.found and (page.next_token or token):
                return since
            known, token = len(seen), page.next_token
            seen |= {each.video_id for each in here}
            # a page that brings nothing new is the last one, whatever its token says
            if token is None or len(seen) == known:
                return window.start
            since = min([since, *(each.published_at + _SECOND for each in here if each.published_at)])
            if since <= window.start + _SECOND:
                return window.start
        # where all pages are of one second there is no earlier one to go on from
        return since if since < window.end else window.start
