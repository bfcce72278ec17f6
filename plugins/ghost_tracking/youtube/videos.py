"""What one call asks of at most fifty videos: their counts, from either of two methods, or their metadata."""

import functools
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from ghost_tracking.core.budgets import Bucket
from ghost_tracking.core.videos import Reading, Video, read_counts, read_video
from ghost_tracking.errors import (
    CallRejectedError,
    GhostTrackingError,
    NotFoundError,
    ProjectRefusedError,
    QuotaExhaustedError,
    YouTubeFaultError,
)
from ghost_tracking.youtube.calls import ApiCalls
from ghost_tracking.youtube.results import BatchResult, Item, read_result
from ghost_tracking.youtube.rounds import Round

log = logging.getLogger(__name__)

_STATS_PARTS = "id,snippet,statistics"


class VideoFetches:
    """One batch of ids each, by `calls`; what is asked of it is paid by whichever bucket covers it."""

    def __init__(self, calls: ApiCalls) -> None:
        self._calls = calls
        self._refusal: str | None = None

    def counts(self, this_round: Round, ids: Sequence[str]) -> BatchResult[Reading]:
        """Counts from `videos.batchGetStats`; from `videos.list` where the statistics bucket does not cover them.

        What `batchGetStats` does not return is unconfirmed.
        """
        if self._refusal is not None or not self._may_be_paid(Bucket.STATISTICS):
            return self.listed_counts(this_round, ids)
        try:
            result = self._batch(this_round, ids)
        except QuotaExhaustedError:
            return self.listed_counts(this_round, ids)
        except GhostTrackingError as error:
            if not _is_of_the_method(error):
                raise
            return self._instead(this_round, ids, error)
        result.unconfirmed, result.missing = result.missing, set()
        return result

    def listed_counts(self, this_round: Round, ids: Sequence[str]) -> BatchResult[Reading]:
        """Counts from `videos.list`, which alone tells when a premiere starts."""
        return self._list(this_round, ids, "snippet,statistics,liveStreamingDetails", read_counts)

    def metadata(self, this_round: Round, ids: Sequence[str]) -> BatchResult[Video]:
        """Metadata and counts from `videos.list`."""
        return self._list(this_round, ids, "snippet,statistics,contentDetails,liveStreamingDetails", read_video)

    def first_readings(self, this_round: Round, ids: Sequence[str]) -> BatchResult[Reading]:
        """Counts with metadata; counts alone where the general bucket does not cover it."""
        if not self._may_be_paid(Bucket.GENERAL):
            return self.counts(this_round, ids)
        try:
            told = self.metadata(this_round, ids)
        except QuotaExhaustedError:
            return self.counts(this_round, ids)
        readings = {video_id: video.reading for video_id, video in told.found.items()}
        return BatchResult(readings, told.missing, told.malformed, videos=told.found)

    def confirmation(self, this_round: Round, ids: Sequence[str]) -> BatchResult[Reading]:
        """Whether `videos.list` knows these ids; they stay unconfirmed where no quota is left."""
        try:
            return self.listed_counts(this_round, ids)
        except QuotaExhaustedError as error:
            return BatchResult(unconfirmed=set(ids), failures=[error])

    def _may_be_paid(self, bucket: Bucket) -> bool:
        return self._calls.budget is None or self._calls.budget.holds(bucket)

    def _batch(self, this_round: Round, ids: Sequence[str]) -> BatchResult[Reading]:
        """Counts from `videos.batchGetStats`; its refusal is asked for a second time, since it means so much."""
        request = functools.partial(
            self._calls.request, this_round, "videos", "batchGetStats", part=_STATS_PARTS, id=list(ids)
        )
        try:
            body = request()
        except GhostTrackingError as error:
            if not _is_of_the_method(error):
                raise
            body = request()
        return read_result(body, ids, read_counts)

    def _instead(self, this_round: Round, ids: Sequence[str], refusal: GhostTrackingError) -> BatchResult[Reading]:
        """What `videos.list` says where `videos.batchGetStats` is refused; if it is refused too, that is the error."""
        result = self.listed_counts(this_round, ids)
        if self._refusal is None:
            said = refusal.facts.get("said", refusal.message)
            self._refusal = f"YouTube refuses videos.batchGetStats ({said}), so videos.list gives the counts"
            if self._calls.budget is None:
                log.warning("%s", self._refusal)
            else:
                self._calls.budget.refuse(Bucket.STATISTICS, self._refusal)
        return result

    def _list(
        self,
        this_round: Round,
        ids: Sequence[str],
        parts: str,
        read: Callable[[dict[str, Any], datetime, list[str]], Item],
    ) -> BatchResult[Item]:
        try:
            body = self._calls.request(this_round, "videos", "list", part=parts, id=",".join(ids))
        except NotFoundError as error:
            # of ids, and no playlist or channel: it may be the fault of one of them
            raise CallRejectedError(f"{error.said}", status=error.status, reasons=frozenset()) from None
        return read_result(body, ids, read)


def _is_of_the_method(error: GhostTrackingError) -> bool:
    """Whether a refusal may be about the method that was called and nothing else."""
    if isinstance(error, NotFoundError | ProjectRefusedError):
        return True
    status = error.facts.get("status", 0)
    return status == 401 or (isinstance(error, YouTubeFaultError) and 400 <= status < 500)
