"""The control API: what other processes can ask and set, as JSON, under /_control/."""

import json
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from .faults import Fault
from .journal import ServedReading
from .quota import Bucket
from .resources import timestamp
from .simulator import Reply, Simulator, json_reply
from .videos import Video

Json = dict[str, Any]
Query = dict[str, list[str]]
CONTROL_PREFIX = "/_control/"
_JOURNAL_LIMIT = 10_000
_FAULT_FIELDS = frozenset(field.name for field in fields(Fault)) - {"kind", "number", "struck"}


class Control:
    """Answer control calls for one simulator."""

    def __init__(self, simulator: Simulator, on_origin: Callable[[], None] | None = None) -> None:
        """Drive this simulator; `on_origin` is called after its origin was moved."""
        self.simulator = simulator
        self.on_origin = on_origin
        self._get: dict[str, Callable[[Query], Json]] = {
            "state": lambda _: self.state(),
            "published": self.published,
            "journal": self.journal,
            "sources": lambda _: self.sources(),
            "video": self.video,
            "named": self.named,
        }
        self._post: dict[str, Callable[[Json], Json]] = {
            "clock": self.set_clock,
            "origin": self.set_origin,
            "latency": self.set_latency,
            "faults": self.set_faults,
            "quota": self.set_quota,
            "quirks": self.set_quirks,
            "delete": self.delete,
            "return": self.restore,
            "delay": self.delay,
            "playlist": self.edit_playlist,
        }

    def answer(self, method: str, path: str, query: Query, body: bytes) -> Reply:
        """Answer one call: 404 for an unknown path, 400 with a sentence for what cannot be done."""
        try:
            if method == "GET" and path in self._get:
                return json_reply(self._get[path](query))
            if method == "POST" and path in self._post:
                order = json.loads(body or b"{}")
                if not isinstance(order, dict):
                    raise ValueError("the body is a JSON object")
                return json_reply(self._post[path](order))
        except (ValueError, TypeError, KeyError) as error:
            return json_reply({"error": f"{type(error).__name__}: {error}"}, 400)
        known = sorted([f"GET {name}" for name in self._get] + [f"POST {name}" for name in self._post])
        return json_reply({"error": "no such control", "known": known}, 404)

    # Questions.

    def state(self) -> Json:
        """Give the clock, the universe, quota, faults, quirks and counters."""
        simulator, world = self.simulator, self.simulator.world
        now = simulator.clock.now()
        return {
            "now": _print(now),
            "clock": {
                "frozen": simulator.clock.frozen,
                "offset_seconds": simulator.clock.offset.total_seconds(),
            },
            "origin": _print(world.origin),
            "seed": world.seed,
            "channels": len(world.channels()),
            "videos_per_hour": world.videos_per_hour,
            "history_days": world.history_days,
            "replayed": [video.id for video in world.replayed()],
            "latency_ms": simulator.latency_ms,
            "quota": simulator.quota.state(now),
            "faults": simulator.faults.state(),
            "quirks": {name: getattr(simulator.quirks, name) for name in simulator.quirks.__slots__},
            "calls": simulator.journal.counts(),
            "readings": simulator.journal.readings_total,
            "named": simulator.journal.named_total,
        }

    def published(self, query: Query) -> Json:
        """Give ids and times of what was published in [after, before), `before` at most now; of a channel."""
        after, before = _moment(query["after"][0]), _moment(query["before"][0])
        present = self.simulator.clock.now() + timedelta(microseconds=1)
        channel = query.get("channel", [None])[0]
        videos = self.simulator.world.published(after, min(before, present), channel)
        return {"videos": [self._brief(video) for video in videos]}

    def _brief(self, video: Video) -> Json:
        world = self.simulator.world
        return {
            "id": video.id,
            "published_at": _print(world.published_at(video)),
            "channel": video.channel.id,
            "available": world.available(video, self.simulator.clock.now()),
            "public_at": _print(world.public_at(video)),
            "listed_at": _print(world.listed_at(video)),
        }

    def video(self, query: Query) -> Json:
        """Give what is known of one video at the present time: `id`."""
        world, now = self.simulator.world, self.simulator.clock.now()
        video = world.find(query["id"][0])
        if video is None:
            raise ValueError("no such video in this universe")
        broadcast = video.broadcast(world.origin)
        schedule = None
        if broadcast is not None:
            schedule = {
                "state": broadcast.state(now),
                "scheduled_start": _print(broadcast.scheduled_start),
                "actual_start": _print(broadcast.actual_start),
                "actual_end": _print(broadcast.actual_end),
            }
        counts = world.reading(video, now)._asdict()
        return {**self._brief(video), "title": video.title, "broadcast": schedule, "reading": counts}

    def journal(self, query: Query) -> Json:
        """Give served readings from running number `since` (default 0) on, at most `limit` (10,000).

        `next` is the `since` of the following call. With `id`: all that is remembered of one video.
        """
        journal = self.simulator.journal
        if "id" in query:
            mine = journal.readings(query["id"][0])
            return {"first": 0, "next": journal.readings_total, "readings": [_served(one) for one in mine]}
        since, limit = (int(query.get(name, ["0"])[0]) for name in ("since", "limit"))
        first, readings = journal.readings_since(max(0, since), min(limit or _JOURNAL_LIMIT, _JOURNAL_LIMIT))
        return {
            "first": first,
            "next": first + len(readings),
            "total": journal.readings_total,
            "readings": [_served(reading) for reading in readings],
        }

    def named(self, query: Query) -> Json:
        """Give the ids that listings have named, from running number `since` (default 0) on."""
        journal = self.simulator.journal
        found = journal.named_since(int(query.get("since", ["0"])[0]))
        return {
            "total": journal.named_total,
            "named": [{**one._asdict(), "at": one.at.isoformat()} for one in found],
        }

    def sources(self) -> Json:
        """Give channels and playlists that a list of sources can name; they depend on the seed only."""
        world = self.simulator.world
        channels = world.channels() + ((world.replay_channel,) if world.replayed() else ())
        return {
            "channels": [
                {"id": channel.id, "title": channel.title, "handle": f"@{channel.handle}", "rate": channel.rate}
                for channel in channels
            ],
            "playlists": [{"id": playlist.id, "title": playlist.title} for playlist in world.playlists()],
        }

    # Orders.

    def set_clock(self, order: Json) -> Json:
        """Obey one or more of freeze (ISO time or true), offset_seconds, resume (true), advance_seconds."""
        _only(order, "freeze", "offset_seconds", "resume", "advance_seconds")
        clock = self.simulator.clock
        if order.get("freeze"):
            clock.freeze(None if order["freeze"] is True else _moment(order["freeze"]))
        if "offset_seconds" in order:
            clock.set_offset(timedelta(seconds=order["offset_seconds"]))
        if order.get("resume"):
            clock.resume()
        if "advance_seconds" in order:
            clock.advance(timedelta(seconds=order["advance_seconds"]))
        return {"now": _print(clock.now()), "frozen": clock.frozen}

    def set_origin(self, order: Json) -> Json:
        """Obey shift_seconds (minus 691200: all videos 8 days older) or origin (ISO time)."""
        _only(order, "shift_seconds", "origin")
        world = self.simulator.world
        if "origin" in order:
            world.set_origin(_moment(order["origin"]))
        if "shift_seconds" in order:
            world.shift_origin(timedelta(seconds=order["shift_seconds"]))
        if self.on_origin is not None:
            self.on_origin()
        return {"origin": _print(world.origin)}

    def set_latency(self, order: Json) -> Json:
        """Obey ms: milliseconds that every answer takes longer."""
        _only(order, "ms")
        self.simulator.latency_ms = max(0.0, float(order["ms"]))
        return {"latency_ms": self.simulator.latency_ms}

    def set_faults(self, order: Json) -> Json:
        """Order a fault (kind and the fields of Fault), or clear (true) all, or release (true) hung calls."""
        faults = self.simulator.faults
        if order.get("clear"):
            faults.clear()
        elif order.get("release"):
            faults.release()
        else:
            settings = {name: value for name, value in order.items() if name != "kind"}
            _only(settings, *_FAULT_FIELDS)
            faults.add(order["kind"], **settings)
        return {"faults": faults.state()}

    def set_quota(self, order: Json) -> Json:
        """Obey {bucket: {"limit": n, "remaining": n}} for any of the buckets."""
        quota, now = self.simulator.quota, self.simulator.clock.now()
        for name, change in order.items():
            bucket = Bucket(name)
            _only(change, "limit", "remaining")
            if "limit" in change:
                quota.set_limit(bucket, int(change["limit"]))
            if "remaining" in change:
                quota.set_remaining(bucket, int(change["remaining"]), now)
        return {"quota": quota.state(now)}

    def set_quirks(self, order: Json) -> Json:
        """Change quirks by name."""
        self.simulator.quirks.update(order)
        return {"quirks": self.state()["quirks"]}

    def delete(self, order: Json) -> Json:
        """Take the videos of `ids` down."""
        ids = _ids(order)
        self.simulator.world.delete(ids)
        return {"deleted": len(ids)}

    def restore(self, order: Json) -> Json:
        """Make the videos of `ids` public again."""
        ids = _ids(order)
        self.simulator.world.restore(ids)
        return {"returned": len(ids)}

    def delay(self, order: Json) -> Json:
        """Let videos be public `public_seconds` after their publish time, and listed `listed_seconds` after that."""
        _only(order, "ids", "public_seconds", "listed_seconds")
        ids = _ids({"ids": order["ids"]})
        public, listed = (timedelta(seconds=order.get(name, 0)) for name in ("public_seconds", "listed_seconds"))
        self.simulator.world.delay(ids, public=public, listed=listed)
        return {"delayed": len(ids)}

    def edit_playlist(self, order: Json) -> Json:
        """Add videos to the end of a curated playlist (`id`), or remove some, at the present time."""
        _only(order, "id", "add", "remove")
        add, remove = (_ids({"ids": order.get(name, [])}) for name in ("add", "remove"))
        self.simulator.world.edit_playlist(order["id"], self.simulator.clock.now(), add=add, remove=remove)
        return {"added": len(add), "removed": len(remove)}


def _only(order: Json, *names: str) -> None:
    unknown = sorted(set(order) - set(names))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(names))}")


def _ids(order: Json) -> list[str]:
    _only(order, "ids")
    ids = order["ids"]
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise ValueError("ids is a list of strings")
    return ids


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    if moment.tzinfo is None:
        raise ValueError(f"{text}: a time needs a time zone, such as Z")
    return moment.astimezone(UTC)


def _print(moment: datetime) -> str:
    return timestamp(moment)


def _served(reading: ServedReading) -> Json:
    return {
        **reading._asdict(),
        "served_at": reading.served_at.isoformat(),
        "published_at": _print(reading.published_at),
    }
