"""One sentence that says whether all is well, and if not, what to do: the troubleshooting, answered by the program."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ghost_tracking.page.responses import Finding, Health
from ghost_tracking.page.runs import HUNTER, JANITOR, TRACKER, Dag

SQL_LIMIT: Final = 500_000_000
"""Bytes: the specification's half a gigabyte."""
SQL_NEAR: Final = 0.9
LATE: Final = timedelta(minutes=20)
"""Scheduled tracker runs come every five minutes; one may take a while."""
JANITOR_LATE: Final = timedelta(hours=30)
HUNTER_LATE: Final = timedelta(hours=3)
_FEW: Final = 0.01
"""Less than this share of all videos overdue is no news: a run is under way, or was late."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known when the sentence is made; times are aware.

    `disk_usage`: bytes of the database; `in_sync`: whether database and vault belong to the same moment; `refused`:
    buckets that YouTube called empty; `slowdown`: how many times its interval each video really waits, None: for ever.
    `gaps`: what sources could not give, as noted in the last day.
    """

    now: datetime
    dags: Mapping[str, Dag]
    videos: int
    due: int
    overdue: int
    misplaced: int
    disk_usage: int
    points: int
    newest_point: datetime | None
    quarantined: int
    in_sync: bool
    is_paced: bool
    slowdown: float | None
    refused: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


def health(at: Standing) -> Health:
    """The gravest finding and the others; `well` where there is none."""
    findings = [finding for rule in _RULES for finding in rule(at)]
    findings.sort(key=lambda finding: finding.level != "broken")  # stable: what explains the rest stands first
    if not findings:
        return Health("well", _all_well(at), action=None, path=None, others=[])
    first, *others = findings
    return Health(first.level, first.sentence, first.action, first.path, others)


def _all_well(at: Standing) -> str:
    said = f"All is well: {_videos(at.videos)} tracked"
    if at.due:
        return f"{said}, {at.due:,} of them due, and the tracker is at it."
    return f"{said}, none of them overdue."


def _videos(number: int) -> str:
    return "1 video is" if number == 1 else f"{number:,} videos are"


def _dags(at: Standing) -> Iterator[Finding]:
    for dag in at.dags.values():
        path = f"dags/{dag.dag_id}"
        if not dag.is_known:
            yield Finding(
                "broken",
                f"Airflow does not know {dag.dag_id}.",
                "Is its file in the DAGs folder, and does it import without an error (the home page tells)?",
            )
        elif dag.is_paused:
            yield Finding("broken", f"{dag.dag_id} is paused: {_DOES[dag.dag_id]}", "Unpause it.", path)


_DOES: Final = {
    HUNTER: "no new videos are found.",
    TRACKER: "no video is read.",
    JANITOR: "nothing is cleaned, sealed or compacted.",
}


def _gaps(at: Standing) -> Iterator[Finding]:
    if at.gaps:
        more = f", and {len(at.gaps) - 1} more" if len(at.gaps) > 1 else ""
        yield Finding(
            "watch",
            f"A source could not be had whole: {at.gaps[0]}{more}.",
            "What it published then may be missing. Narrow it, allow it more pages or ask Google for more quota; a "
            "backfill of ghost_hunter looks once more.",
            f"dags/{HUNTER}",
        )


def _failures(at: Standing) -> Iterator[Finding]:
    for dag in at.dags.values():
        last = dag.failed
        if last is not None:
            yield Finding(
                "broken",
                f"The last scheduled run of {dag.dag_id} failed.",
                "The log of its red task ends with a sentence that names what to change; Last runs below shows it.",
                f"dags/{dag.dag_id}/runs/{last.run_id}",
            )


def _silence(at: Standing) -> Iterator[Finding]:
    for dag_id, patience in ((TRACKER, LATE), (HUNTER, HUNTER_LATE), (JANITOR, JANITOR_LATE)):
        dag = at.dags[dag_id]
        if not dag.is_known or dag.is_paused or not dag.runs or at.now - dag.runs[0].run_after < patience:
            continue
        yield Finding(
            "broken",
            f"{dag_id} has had no run since {dag.runs[0].run_after:%Y-%m-%d %H:%M} UTC.",
            "Is Airflow's scheduler up (the home page tells)?",
            f"dags/{dag_id}",
        )


def _emptiness(at: Standing) -> Iterator[Finding]:
    hunter, tracker = at.dags[HUNTER], at.dags[TRACKER]
    if not at.videos and hunter.last_success is not None:
        yield Finding(
            "broken",
            "The watchlist does not grow: no video is on it, although the hunter ran.",
            "Its last run's summary says how many videos it found. None: did the sources publish anything lately?",
            f"dags/{HUNTER}/runs/{hunter.last_success.run_id}",
        )
    elif not at.videos:
        yield Finding("watch", "No video is tracked yet.", "The hunter's first run brings some.", f"dags/{HUNTER}")
    elif not at.points and tracker.last_success is not None:
        yield Finding(
            "broken",
            "Nothing appears in the vault, although the tracker ran.",
            "Do the workers and this API server see the same folder? The task publish says which one it writes.",
            f"dags/{TRACKER}/runs/{tracker.last_success.run_id}",
        )


def _lateness(at: Standing) -> Iterator[Finding]:
    if at.refused:
        yield Finding(
            "watch",
            f"YouTube says that the quota bucket {' and '.join(at.refused)} is empty.",
            "Nothing to do: what is left stays due until midnight Pacific time. Do other programs use the same "
            "project?",
        )
    if at.is_paced and at.slowdown is not None and at.slowdown > 1:
        yield Finding(
            "watch",
            f"Quota is short: every video waits {at.slowdown:.2g} times as long as its tier says.",
            "Ask Google for more quota and raise the settings quota_statistics and quota_general, or hunt less.",
        )
    elif at.overdue > max(50, at.videos * _FEW):
        yield Finding(
            "watch",
            f"{_videos(at.overdue)} overdue by more than an hour.",
            "It goes down from run to run where the tracker only has to catch up. Otherwise give it more parallel "
            "tasks (setting tracker_parallel_tasks, and the slots of its pool).",
            f"dags/{TRACKER}",
        )
    if at.misplaced:
        yield Finding(
            "watch",
            f"Videos are read too often: {_videos(at.misplaced)} HOURLY, but older than a day.",
            "Another program writes to the table watchlist, or an old version of the tracker still runs.",
        )


def _disk_usage(at: Standing) -> Iterator[Finding]:
    if at.disk_usage > SQL_LIMIT * SQL_NEAR:
        over = "above" if at.disk_usage > SQL_LIMIT else "near"
        yield Finding(
            "broken" if at.disk_usage > SQL_LIMIT else "watch",
            f"The database takes {at.disk_usage / 1e6:,.0f} MB, {over} half a gigabyte.",
            "Does ghost_janitor run every night? It moves settled videos to the roster. Otherwise hunt less.",
            f"dags/{JANITOR}",
        )


def _vault(at: Standing) -> Iterator[Finding]:
    if at.quarantined:
        yield Finding(
            "watch",
            f"{at.quarantined:,} broken {'file' if at.quarantined == 1 else 'files'} of the vault set aside.",
            "`python -m ghost_tracking verify` says whether a point is missing; `repair` rebuilds what it can.",
        )
    if not at.in_sync:
        yield Finding(
            "watch",
            "Database and vault are not of the same moment: one of them was restored from a backup.",
            "Trigger ghost_janitor: it puts back on the schedule what the database has forgotten.",
            f"dags/{JANITOR}",
        )


_RULES: Final[tuple[Callable[[Standing], Iterator[Finding]], ...]] = (
    _dags,
    _failures,
    _silence,
    _emptiness,
    _disk_usage,
    _lateness,
    _gaps,
    _vault,
)
