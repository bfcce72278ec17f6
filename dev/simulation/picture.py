"""The curves of a simulation, in one picture."""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ghost_tracking.core.budgets import Bucket
from ghost_tracking.core.tiers import Queue
from simulation.errors import ALL, Errors, Period
from simulation.report import Report
from simulation.run import START

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _FAINT, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_BLUE, _TEAL, _AMBER, _RED = "#2f6db5", "#1b998b", "#e09f3e", "#c8384a"
_TIERS = {"HOURLY": _AMBER, "DAILY": _TEAL, "WEEKLY": _BLUE}

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "ytick.left": False,
    "xtick.major.size": 3,
    "svg.fonttype": "none",
}


def draw(report: Report, out: Path) -> None:
    """Curves over the days, under each other."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot, ticker

    panels: list[Callable[[Axes, Report], None]] = [
        _sql,
        _videos,
        _waiting,
        _calls,
        _intervals,
        _longest,
        _in_views,
        _in_per_cent,
        _points,
    ]
    with mpl.rc_context(_STYLE):
        figure, axes = pyplot.subplots(len(panels), 1, sharex=True, figsize=(9.6, 2.5 * len(panels)))
        scenario = report.scenario
        for axis, panel in zip(axes, panels, strict=True):
            panel(axis, report)
            axis.set_ylim(bottom=0)
            axis.tick_params(axis="y", pad=2)
            axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda figure, _: f"{figure:,.10g}"))
            if scenario.half_from is not None:
                axis.axvspan(scenario.half_from, scenario.half_to or scenario.days, color="#f3ead7", zorder=0, lw=0)
        if scenario.half_from is not None:
            middle = (scenario.half_from + (scenario.half_to or scenario.days)) / 2
            axes[0].annotate(
                "half of the quota that is needed",
                (middle, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, -3),
                textcoords="offset points",
                ha="center",
                va="top",
                color="#8a6d1f",
            )
        axes[-1].set_xlim(0, scenario.days)
        axes[-1].set_xlabel("days")
        figure.suptitle(
            f"{scenario.days:,} days of Ghost Tracking, {scenario.per_day:,} new videos a day, {scenario.policy}",
            x=0.075,
            y=0.991,
            ha="left",
            fontsize=16,
            fontweight="bold",
        )
        figure.text(
            0.075,
            0.977,
            f"Its own tasks on a real PostgreSQL and a real vault, in {report.seconds['all'] / 60:.0f} minutes; only "
            "YouTube and the clock are simulated.",
            color=_FAINT,
            va="top",
        )
        figure.subplots_adjust(left=0.075, right=0.895, top=0.946, bottom=0.026, hspace=0.5)
        figure.savefig(out, dpi=125)
        pyplot.close(figure)


def _sql(axis: "Axes", report: Report) -> None:
    days, size = _days(sample.at for sample in report.samples), [each.sql_bytes / 1e6 for each in report.samples]
    _headline(
        axis, "SQL stops growing once the first videos have settled onto the roster", "MB, PostgreSQL's own 8 included"
    )
    axis.plot(days, size, color=_BLUE, lw=1.6)
    axis.fill_between(days, size, color=_BLUE, alpha=0.12, lw=0)
    axis.set_ylim(top=max(size) * 1.3)
    _name_end(axis, days[-1], size[-1], f"{size[-1]:.1f} MB", _BLUE)


def _videos(axis: "Axes", report: Report) -> None:
    days = np.arange(len(report.evenings)) + 1
    _headline(axis, "All videos stay on the schedule", "videos: on the watchlist, on the roster, and gone")
    colors = {"watchlist": _AMBER, "roster": _BLUE, "gone": _FAINT}
    heights = {
        "watchlist": [
            sum(count for queue, count in each.queues.items() if not queue.in_chunks) for each in report.evenings
        ],
        "roster": [each.queues[Queue.ROSTER] for each in report.evenings],
        "gone": [each.queues[Queue.GONE] for each in report.evenings],
    }
    axis.stackplot(days, *heights.values(), colors=list(colors.values()), alpha=0.6, lw=0)
    tops = dict(zip(heights, np.cumsum([each[-1] for each in heights.values()]).tolist(), strict=True))
    top = 1.12 * max(tops.values()) or 1
    axis.set_ylim(top=top)
    for name, height in _apart(tops, 0.1 * top).items():
        _name_end(axis, days[-1], height, name, colors[name])


def _waiting(axis: "Axes", report: Report) -> None:
    days = _days(sample.at for sample in report.samples)
    _headline(axis, "What is due is read at once, or waits where quota is short", "videos, at each full hour")
    due, late = [each.due for each in report.samples], [each.late for each in report.samples]
    axis.plot(days, due, color=_BLUE, lw=0.9)
    axis.fill_between(days, late, color=_RED, alpha=0.25, lw=0)
    axis.plot(days, late, color=_RED, lw=0.9)
    top = max(due) * 1.12 or 1
    axis.set_ylim(top=top)
    names = {"late by more\nthan an hour": (np.mean(late[-24:]), _RED), "due": (np.mean(due[-24:]), _BLUE)}
    for name, height in _apart({name: float(end) for name, (end, _) in names.items()}, 0.2 * top).items():
        _name_end(axis, days[-1], height, name, names[name][1])


def _calls(axis: "Axes", report: Report) -> None:
    days = np.arange(len(report.evenings))
    statistics = np.array([each.spent[Bucket.STATISTICS] for each in report.evenings])
    general = np.array([each.spent[Bucket.GENERAL] for each in report.evenings])
    budget = np.array([sum(each.budget.values()) for each in report.evenings])
    _headline(axis, "Calls stay within the quota", "calls a Pacific day, and the budget of both buckets")
    borders = np.append(days, len(days))
    below, above = (np.append(each, each[-1]) for each in (statistics, statistics + general))
    axis.fill_between(borders, below, step="post", color=_BLUE, lw=0)
    axis.fill_between(borders, below, above, step="post", color=_TEAL, lw=0)
    top = max((statistics + general).max() * 1.25, 1)
    axis.set_ylim(top=top)
    inside = np.where(budget <= top, budget, np.nan)
    axis.step(np.append(days, days[-1] + 1), np.append(inside, inside[-1]), where="post", color=_INK, lw=1.3)
    if np.isfinite(inside).any():
        where = int(np.flatnonzero(np.isfinite(inside))[0])
        axis.annotate(
            "budget", (where, inside[where]), xytext=(2, 3), textcoords="offset points", va="bottom", color=_INK
        )
    if (budget > top).any():
        axis.annotate(
            f"the budget of other days, {budget.max():,}, is far above"
            if np.isfinite(inside).any()
            else f"the budget, {budget.max():,}, is far above",
            (0.0, 1.0),
            xycoords="axes fraction",
            xytext=(4, -3),
            textcoords="offset points",
            va="top",
            color=_FAINT,
        )
    end = len(days)
    _name_end(axis, end, statistics[-1] * 0.5, "statistics", _BLUE)
    _name_end(axis, end, statistics[-1] + max(general[-1], 0.05 * top), "general", _TEAL)


def _intervals(axis: "Axes", report: Report) -> None:
    _headline(
        axis,
        "How long videos wait in each tier",
        "mean wait between two readings ÷ planned interval, in the last day; of WEEKLY in the last week",
    )
    tops, ends = [1.5], {}
    for tier, means in report.stretches.items():
        days, values = np.arange(len(means)) + 0.5, np.array(means, dtype=float)
        axis.plot(days, values, color=_TIERS[tier], lw=1.8)
        if np.isfinite(values).any():
            tops.append(float(np.nanmax(values)))
            ends[tier] = float(values[np.isfinite(values)][-1])
    top = max(tops) * 1.15
    axis.set_ylim(top=top)
    axis.axhline(1, color=_FAINT, lw=0.8, ls=(0, (4, 3)), zorder=1)
    for tier, height in _apart(ends, 0.1 * top).items():
        _name_end(axis, report.scenario.days, height, tier, _TIERS[tier])


def _longest(axis: "Axes", report: Report) -> None:
    _headline(axis, "The longest wait of any video", "days between two readings, or since the last one")
    periods = report.accuracy.over_time
    days, longest = [each.end for each in periods], [each.longest for each in periods]
    axis.plot(days, longest, color=_RED, lw=1.6)
    axis.set_ylim(top=max(longest) * 1.15 or 1)
    _name_end(axis, days[-1], longest[-1], f"{longest[-1]:.0f} days", _RED)


def _in_views(axis: "Axes", report: Report) -> None:
    _headline(
        axis, "How wrong the vault is, in views", "mean over time and over a sample of videos that do not rise late"
    )
    _errors(axis, report.accuracy.over_time, lambda each: (each.held, each.curve))


def _in_per_cent(axis: "Axes", report: Report) -> None:
    _headline(axis, "How wrong the vault is, in per cent", "the same, of the logarithm of views")
    _errors(axis, report.accuracy.over_time, lambda each: (100 * each.held_log, 100 * each.curve_log))


def _errors(axis: "Axes", periods: Iterable[Period], figures: Callable[[Errors], tuple[float, float]]) -> None:
    found = [((each.begin + each.end) / 2, *figures(each.errors[ALL])) for each in periods if ALL in each.errors]
    if not found:
        return
    days, held, curve = zip(*found, strict=True)
    top = max(held) * 1.15 or 1
    axis.set_ylim(top=top)
    axis.plot(days, held, color=_BLUE, lw=1.6)
    axis.plot(days, curve, color=_TEAL, lw=1.6)
    colors = {"last value": _BLUE, "curve": _TEAL}
    for name, height in _apart({"last value": held[-1], "curve": curve[-1]}, 0.1 * top).items():
        _name_end(axis, days[-1], height, name, colors[name])


def _points(axis: "Axes", report: Report) -> None:
    days = _days(sample.at for sample in report.samples)
    number = np.array([sample.points for sample in report.samples]) / 1e6
    _headline(axis, "The vault keeps every observation", "million points")
    axis.plot(days, number, color=_TEAL, lw=1.6)
    axis.fill_between(days, number, color=_TEAL, alpha=0.12, lw=0)
    _name_end(axis, days[-1], number[-1], f"{number[-1]:.2f} million,\n{report.vault_bytes / 1e6:,.0f} MB", _TEAL)


def _headline(axis: "Axes", text: str, unit: str) -> None:
    axis.set_title(text, loc="left", fontsize=10.5, fontweight="bold", pad=16, x=0)
    axis.annotate(
        unit, (0, 1), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points", color=_FAINT, fontsize=8.5
    )


def _name_end(axis: "Axes", x: float, y: float, text: str, color: str) -> None:
    """Write beside the end of a curve what it is."""
    axis.annotate(
        text, (x, y), xytext=(6, 0), textcoords="offset points", va="center", color=color, annotation_clip=False
    )


def _apart(heights: dict[str, float], least: float) -> dict[str, float]:
    """Heights for names so that none covers another."""
    placed: dict[str, float] = {}
    below = -np.inf
    for name, height in sorted(heights.items(), key=lambda each: each[1]):
        placed[name] = max(height, below + least)
        below = placed[name]
    return placed


def _days(moments: Iterable[datetime]) -> np.ndarray:
    return np.array([(moment - START).total_seconds() / 86_400 for moment in moments])
