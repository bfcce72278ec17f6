"""Many ids: fifty a call over a few threads, and a call that keeps failing bisected down to the id that is to blame."""

import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from more_itertools import chunked

from ghost_tracking.core.budgets import IDS_PER_CALL
from ghost_tracking.errors import (
    CallRejectedError,
    GhostTrackingError,
    PermanentError,
    QuotaExhaustedError,
    TransientError,
    YouTubeFaultError,
)
from ghost_tracking.youtube.calls import ApiCalls
from ghost_tracking.youtube.results import BatchResult, Item
from ghost_tracking.youtube.rounds import Round

_OUR_FAULT = {"invalidfilters", "missingrequiredparameter", "invalidpagetoken", "unknownpart"}
_FEW = 3  # so many ids may all be bad ones

Result = TypeVar("Result")
Fetch = Callable[[Round, Sequence[str]], BatchResult[Item]]
"""What one call brings of at most fifty ids."""


@dataclass(eq=False)
class _Batch(Generic[Item]):
    """Ids of one call; `error`: why it failed, where that may be the fault of one of them."""

    fetch: Fetch[Item]
    ids: Sequence[str]
    error: GhostTrackingError | None = None


@dataclass(frozen=True)
class Batching:
    """Fetches batches by `calls`, over so many threads."""

    calls: ApiCalls
    threads: int = 4

    def fetch_batches(self, this_round: Round, *groups: tuple[Fetch[Item], Sequence[str]]) -> BatchResult[Item]:
        """Fetch the ids of each group by its own call, fifty at a time over the threads; the results put together.

        No call has ids of two groups. A call that fails for good while others succeed is bisected, down to the ids
        that are to blame. Where nothing succeeds the round ends after a few calls, and what is left stays pending.
        Raises a permanent error at once, and a rejection where each and every id is rejected.
        """
        batches: list[_Batch[Any]] = []
        for fetch, every in groups:
            batches += [_Batch(fetch, ids) for ids in chunked(every, IDS_PER_CALL)]
        result, broken = BatchResult[Item](), list[_Batch[Any]]()
        for batch, fetched in self._over_threads(self._fetch, batches, this_round):
            result.add(fetched)
            if batch.error is not None:
                broken.append(batch)
        if this_round.is_hopeless(self.threads) or (this_round.succeeded and this_round.is_lost):
            result.add(BatchResult(faulty={video_id: "" for batch in broken for video_id in batch.ids}))
        else:
            this_round.in_vain = 0
            for _, fetched in self._over_threads(self._bisect, broken, this_round):
                result.add(fetched)
        if not this_round.succeeded or this_round.is_lost:
            _blame_no_id(result, [batch.error for batch in broken if batch.error is not None], this_round)
        return result

    def _fetch(self, batch: _Batch[Item], this_round: Round) -> BatchResult[Item]:
        """One call with its tries. Where it fails for what may be the fault of an id, the batch keeps why."""
        try:
            with this_round.carefully():
                if this_round.over.is_set() or this_round.is_hopeless(self.threads):
                    return BatchResult(pending=set(batch.ids))
                if not this_round.left:
                    error = YouTubeFaultError("there was no time left for this call")
                    return BatchResult.without(batch.ids, error, sent=False)
                fetch = functools.partial(batch.fetch, this_round, batch.ids)
                return _noted(this_round, lambda: self.calls.with_retries(this_round, fetch))
        except GhostTrackingError as failure:
            if _may_be_an_ids_fault(failure):
                batch.error = failure
                return BatchResult()
            if not isinstance(failure, TransientError):
                raise
            return BatchResult.without(batch.ids, failure, sent=not isinstance(failure, QuotaExhaustedError))

    def _bisect(self, batch: _Batch[Item], this_round: Round) -> BatchResult[Item]:
        """Who is to blame for a call that failed: one call for each half, and so on, down to single ids."""
        error = batch.error or YouTubeFaultError()
        if len(batch.ids) == 1:
            return BatchResult(faulty={batch.ids[0]: error.message})
        middle = len(batch.ids) // 2
        result, broken = BatchResult[Item](), list[_Batch[Item]]()
        for half in (_Batch(batch.fetch, batch.ids[:middle]), _Batch(batch.fetch, batch.ids[middle:])):
            if not this_round.left or this_round.is_lost:
                result.add(BatchResult.without(half.ids, _in_passing(error)))
                continue
            try:
                result.add(_noted(this_round, functools.partial(batch.fetch, this_round, half.ids)))
            except GhostTrackingError as failure:
                if _may_be_an_ids_fault(failure):
                    half.error = failure
                    broken.append(half)
                elif isinstance(failure, TransientError):
                    result.add(BatchResult.without(half.ids, _in_passing(error)))
                else:
                    raise
        for half in broken:
            result.add(self._bisect(half, this_round))
        return result

    def _over_threads(
        self,
        work: Callable[[_Batch[Any], Round], BatchResult[Any]],
        batches: Sequence[_Batch[Any]],
        this_round: Round,
    ) -> Iterator[tuple[_Batch[Any], BatchResult[Any]]]:
        """The batches as they are answered. A permanent error ends it at once."""
        if not batches:
            return
        waiting, left = deque(batches), set(batches)

        def next_one() -> tuple[_Batch[Any], BatchResult[Any]]:
            # from the other end where the first ones fail: bad ids may lie together
            batch = waiting.pop() if this_round.is_failing else waiting.popleft()
            try:
                return batch, work(batch, this_round)
            except PermanentError:
                this_round.over.set()  # before the next call of this thread, which would fail as well
                raise

        executor = ThreadPoolExecutor(self.threads, thread_name_prefix="youtube")
        futures = [executor.submit(next_one) for _ in batches]
        try:
            for future in _as_they_come(futures, this_round):
                batch, fetched = future.result()
                left.discard(batch)
                yield batch, fetched
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            if any(not future.done() for future in futures):
                self.calls.abort(this_round)
            self.calls.close()  # the threads end here, and their connections with them
        for batch in left:
            yield batch, BatchResult.without(batch.ids, YouTubeFaultError("no answer within the time of the batch"))


def _noted(this_round: Round, fetch: Callable[[], BatchResult[Item]]) -> BatchResult[Item]:
    """Fetch, and note for the whole round whether it was in vain."""
    try:
        result = fetch()
    except QuotaExhaustedError:
        raise  # nothing was sent
    except GhostTrackingError:
        this_round.note(success=False)
        raise
    this_round.note(success=True)
    return result


def _as_they_come(futures: Sequence[Future[Result]], this_round: Round) -> Iterator[Future[Result]]:
    """Each future as it ends, until the deadline."""
    pending = set(futures)
    while pending:
        left = this_round.deadline - time.monotonic()
        done, pending = wait(pending, None if left == float("inf") else max(left, 0), FIRST_COMPLETED)
        if not done:
            return
        yield from done


def _may_be_an_ids_fault(error: GhostTrackingError) -> bool:
    if isinstance(error, CallRejectedError):
        return _OUR_FAULT.isdisjoint(error.reasons)
    return isinstance(error, YouTubeFaultError)


def _in_passing(error: GhostTrackingError) -> TransientError:
    return error if isinstance(error, TransientError) else YouTubeFaultError(error.message)


def _blame_no_id(result: BatchResult[Any], errors: Sequence[GhostTrackingError], this_round: Round) -> None:
    """Nothing tells an id's fault from YouTube's. Raises the rejection where all calls, for many ids, were rejected."""
    rejections = [error for error in errors if isinstance(error, PermanentError)]
    if rejections and not this_round.succeeded:
        if len(result.faulty) + len(result.pending) > _FEW:
            raise rejections[0]
        return
    if result.faulty:
        result.add(BatchResult(pending=set(result.faulty), failed=set(result.faulty)))
        result.failures += [_in_passing(error) for error in errors]
        result.faulty.clear()
