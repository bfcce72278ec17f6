"""Listings: the uploads of a channel and playlists, read page by page as far as they are wanted."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from ghost_tracking.core.discovery import RESULTS_A_PAGE, reaches_back
from ghost_tracking.core.origins import Place
from ghost_tracking.core.videos import Found, Page
from ghost_tracking.errors import (
    ConfigurationError,
    GhostTrackingError,
    PermanentError,
    TransientError,
    YouTubeFaultError,
)

_ASKED_AGAIN = 3
"""So often at most a page is asked for once more that has fewer videos than it should, while that brings any."""
_MOST_PAGES = 1_000
"""YouTube lists 20,000 videos at most, 50 a page: whatever goes on longer goes round in circles."""

Pages = Callable[[str | None], Iterator[Page]]
"""The pages of a listing, from the one with this token on (None: from the first)."""


@dataclass
class Listing:
    """What was read of a listing.

    `named`: its videos, in its order, and when each was published (None where it does not tell). `reached`: it was
    read back to where it was wanted; `ended`: to its last page. `last_token`: that of the last page that was read.
    `failure`: why it was read no further. `places`: where each video stood, in the order in which they were named;
    None for all where it was not read from its first page on.
    """

    named: dict[str, datetime | None] = field(default_factory=dict)
    reached: bool = False
    ended: bool = False
    last_token: str | None = None
    failure: GhostTrackingError | None = None
    places: dict[str, Place | None] = field(default_factory=dict)

    def add(self, found: Iterable[Found], page: int | None) -> int:
        """Take in videos of a page (None: nobody knows which); how many of them are new."""
        before = len(self.named)
        for each in found:
            if each.video_id not in self.named:
                self.named[each.video_id] = each.published_at
                self.places[each.video_id] = None if page is None else Place(len(self.named), page)
        return len(self.named) - before


def read_listing(
    pages: Pages,
    since: datetime | None = None,
    *,
    exactly: bool = True,
    most: int = _MOST_PAGES,
    token: str | None = None,
    may_be_empty: bool = True,
) -> Listing:
    """Read a listing from a page on (None: the first), back to what was published at `since` or else to its end.

    `exactly`: see `core.discovery.reaches_back`. `most`: pages at most. An answer can lack videos that are there, so a
    page with fewer than it should have is asked for once more, as is an empty first one unless that `may_be_empty`. One
    that stays empty although another follows fails.
    What fails after the first page ends the reading, and what was read until then counts; what fails at the first one
    is raised, as is a ConfigurationError.
    """
    listing, stream, starts_at_first = Listing(last_token=token), pages(token), token is None
    for number in range(most):
        try:
            page = next(stream)
            listing.last_token = token
            place = number + 1 if starts_at_first else None
            new, following = _taken(listing, page, place, pages, token, may_be_empty=may_be_empty and number == 0)
        except ConfigurationError:
            raise
        except (PermanentError, TransientError) as error:
            if number == 0:
                raise
            listing.failure = error
            return listing
        # a page that only repeats what was there is no page: listings go round in circles at times
        if following is None or (page.found and not new):
            listing.ended = listing.reached = True
            return listing
        if since is not None and reaches_back(page.found, since, exactly=exactly):
            listing.reached = True
            return listing
        if following != page.next_token:
            stream = pages(following)
        token = following
    return listing


def _taken(
    listing: Listing, page: Page, place: int | None, pages: Pages, token: str | None, *, may_be_empty: bool
) -> tuple[int, str | None]:
    """Take in a page: how many new videos it brought, and the token of the one that follows."""
    new, following, is_empty = listing.add(page.found, place), page.next_token, not page.found
    for _ in range(_ASKED_AGAIN):
        is_whole = len(page.found) >= RESULTS_A_PAGE or (following is None and (page.found or may_be_empty))
        if is_whole:
            break
        again = next(pages(token))
        more, following = listing.add(again.found, place), following or again.next_token
        new += more
        is_empty = is_empty and not again.found
        if not more and not (is_empty and following is not None):
            break
    if is_empty and following is not None:
        raise YouTubeFaultError("a page of its listing stays empty, although another follows")
    return new, following
