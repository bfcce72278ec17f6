"""The health of the system in one sentence, and what to do if it is not well: troubleshooting done by the program."""

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
    buckets that YouTube called empty; `is_short`: whether the quota gives less than the policy asks for, `skipped`: the
    share of all slots that is left out; `spends_all`: whether the policy uses all the quota that there is.
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
    is_short: bool
    skipped: float
    spends_all: bool = False
    refused: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


def health(at: Standing) -> Health:
    """The most severe finding and the others; `well` if there is none."""
    findings = [finding for rule in _RULES for finding in rule(at)]
    findings.sort(key=lambda finding: finding.level != "broken")  # stable: what explains the rest stands first
    if not findings:
        return Health("well", _all_well(at), action=None, path=None, others=[])
    first, *others = findings
    return Health(first.level, first.sentence, first.action, first.path, others)


def _all_well(at: Standing) -> str:
    said = f"All is well: {_videos(at.videos)} tracked"
    if at.due:
        return f"{said}, {at.due:,} of them due now."
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
                "Check that its file is in the DAGs folder. Airflow's home page shows import errors.",
            )
        elif dag.is_paused:
            yield Finding("broken", f"{dag.dag_id} is paused: {_DOES[dag.dag_id]}", "Unpause it.", path)


_DOES: Final = {
    HUNTER: "it finds no new videos.",
    TRACKER: "it reads no videos.",
    JANITOR: "it cleans, seals and compacts nothing.",
}


def _gaps(at: Standing) -> Iterator[Finding]:
    if at.gaps:
        more = f", and {len(at.gaps) - 1} more" if len(at.gaps) > 1 else ""
        yield Finding(
            "watch",
            f"A source was not read completely: {at.gaps[0]}{more}.",
            "Videos that it published then may be missing. Narrow the source, allow it more pages or ask Google for "
            "more quota; then run a backfill of ghost_hunter over that time.",
            f"dags/{HUNTER}",
        )


def _failures(at: Standing) -> Iterator[Finding]:
    for dag in at.dags.values():
        last = dag.failed
        if last is not None:
            yield Finding(
                "broken",
                f"The last scheduled run of {dag.dag_id} failed.",
                "The log of its red task ends with a sentence that says what to change; Last runs below shows it.",
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
            "Check that Airflow's scheduler is running. Airflow's home page shows its state.",
            f"dags/{dag_id}",
        )


def _emptiness(at: Standing) -> Iterator[Finding]:
    hunter, tracker = at.dags[HUNTER], at.dags[TRACKER]
    if not at.videos and hunter.last_success is not None:
        yield Finding(
            "broken",
            "The watchlist does not grow: it is empty, although the hunter has run.",
            "The summary of its last run reports how many videos it found. If it found none, check whether the sources "
            "have published anything since.",
            f"dags/{HUNTER}/runs/{hunter.last_success.run_id}",
        )
    elif not at.videos:
        yield Finding("watch", "No video is tracked yet.", "The hunter's first run adds some.", f"dags/{HUNTER}")
    elif not at.points and tracker.last_success is not None:
        yield Finding(
            "broken",
            "Nothing appears in the vault, although the tracker has run.",
            "Check that the workers and this API server see the same folder. The log of publish names it.",
            f"dags/{TRACKER}/runs/{tracker.last_success.run_id}",
        )


def _lateness(at: Standing) -> Iterator[Finding]:
    if at.refused:
        yield Finding(
            "watch",
            f"YouTube reports that the quota bucket {' and '.join(at.refused)} is empty.",
            "Nothing to do: unread videos stay due, and reading continues after midnight Pacific time. Check whether "
            "other programs use the same API project.",
        )
    if at.is_paced and at.is_short:
        yield Finding(
            "watch",
            f"Quota is short: {at.skipped:.0%} of all slots are left out, where least is to be seen.",
            "Ask Google for more quota and raise the settings quota_statistics and quota_general, or hunt less.",
        )
    elif at.overdue > max(50, at.videos * _FEW) and not (at.is_paced and at.spends_all):
        yield Finding(
            "watch",
            f"{_videos(at.overdue)} overdue by more than an hour.",
            "If the number falls from run to run, the tracker is catching up. Otherwise give it more parallel tasks: "
            "raise the setting tracker_parallel_tasks and the slots of its pool.",
            f"dags/{TRACKER}",
        )
    if at.misplaced:
        yield Finding(
            "watch",
            f"Videos are read too often: {_videos(at.misplaced)} HOURLY, but older than a day.",
            "Another program writes to the table watchlist, or an old version of the tracker is still running.",
        )


def _disk_usage(at: Standing) -> Iterator[Finding]:
    if at.disk_usage > SQL_LIMIT * SQL_NEAR:
        over = "above" if at.disk_usage > SQL_LIMIT else "near"
        yield Finding(
            "broken" if at.disk_usage > SQL_LIMIT else "watch",
            f"The database occupies {at.disk_usage / 1e6:,.0f} MB, {over} half a gigabyte.",
            "Check that ghost_janitor runs every night; it moves settled videos to the roster. If it does, hunt less.",
            f"dags/{JANITOR}",
        )


def _vault(at: Standing) -> Iterator[Finding]:
    if at.quarantined:
        yield Finding(
            "watch",
            f"{at.quarantined:,} broken {'file' if at.quarantined == 1 else 'files'} of the vault in quarantine.",
            "Run `python -m ghost_tracking verify` to see whether points are missing; `repair` rebuilds what it can.",
        )
    if not at.in_sync:
        yield Finding(
            "watch",
            "Database and vault are not of the same moment: one was restored from a backup.",
            "Trigger ghost_janitor: it puts the videos that the database lacks back on the schedule.",
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
