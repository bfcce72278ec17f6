"""Recorded series, served again: a CSV of video_id, observed_at, views, likes, comments."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import vocabulary
from .growth import Reading
from .identity import channel_id, mix
from .videos import Channel, ReplayedVideo

REPLAY_CHANNEL_NUMBER = -1
_PUBLISHED_BEFORE_FIRST_READING = timedelta(minutes=20)
_COLUMNS = ("video_id", "observed_at", "views", "likes", "comments")


class ReplayError(ValueError):
    """A recorded series that cannot be read; the message names the file, the line and the reason."""


def replay_channel(seed: int) -> Channel:
    """Give the channel of its own that recorded videos are published in."""
    identity = channel_id(seed, REPLAY_CHANNEL_NUMBER)
    tongue = vocabulary.ENGLISH
    return Channel(REPLAY_CHANNEL_NUMBER, identity, "Recorded series", "recordedseries", tongue, "22", 0.0, 1.0)


def load_replay(
    path: Path, channel: Channel, *, shift: timedelta = timedelta(0), start: datetime | None = None
) -> list[ReplayedVideo]:
    """Read the recorded videos; an empty count becomes one that is not shown.

    `shift` moves every observation in time; `start` (aware) instead moves the first of all to that moment.
    A video is published 20 minutes before its own first reading. Raises ReplayError on bad input.
    """
    series: dict[str, list[tuple[datetime, Reading]]] = {}
    for video_id, moment, reading in _rows(path):
        series.setdefault(video_id, []).append((moment, reading))
    if not series:
        raise ReplayError(f"{path}: no readings")
    if start is not None:
        shift = start.astimezone(UTC) - min(min(readings)[0] for readings in series.values())
    return [_video(video_id, sorted(readings), channel, shift) for video_id, readings in series.items()]


def _rows(path: Path) -> Iterator[tuple[str, datetime, Reading]]:
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ReplayError(f"{path}: no column {', '.join(missing)}")
        for row in reader:
            try:
                moment = datetime.fromisoformat(row["observed_at"])
                moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
                reading = Reading(int(row["views"]), _count(row["likes"]), _count(row["comments"]))
            except (ValueError, TypeError) as error:
                raise ReplayError(f"{path}, line {reader.line_num}: {error}") from error
            yield row["video_id"], moment, reading


def _count(text: str) -> int | None:
    return int(text) if text else None


def _video(
    video_id: str, readings: list[tuple[datetime, Reading]], channel: Channel, shift: timedelta
) -> ReplayedVideo:
    moments = tuple(moment + shift for moment, _ in readings)
    published = (moments[0] - _PUBLISHED_BEFORE_FIRST_READING).replace(microsecond=0)
    noise = mix(sum(ord(letter) << 7 * place for place, letter in enumerate(video_id)))
    return ReplayedVideo(video_id, channel, noise, published, moments, tuple(reading for _, reading in readings))
