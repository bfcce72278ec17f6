"""The database's list of videos that somebody has paused, stopped or forgotten."""

from collections.abc import Collection, Sequence

from more_itertools import chunked

from ghost_tracking.core.let_go import Change, State
from ghost_tracking.core.tiers import as_utc
from ghost_tracking.postgres.database import Database

_AT_A_TIME = 1_000


class LetGo:
    """The table `let_go`; the vault has the same list, see `services.letting_go`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def among(self, video_ids: Collection[str]) -> set[str]:
        """Which of these videos are paused, stopped or forgotten: not to be asked for, and not to be put anywhere."""
        return {video_id for video_id, each in self.changes(video_ids).items() if each.state.lets_go}

    def forgotten(self, video_ids: Collection[str]) -> set[str]:
        """Which of these videos are forgotten: nothing is to tell of them."""
        return {video_id for video_id, each in self.changes(video_ids).items() if each.state is State.FORGOTTEN}

    def changes(self, video_ids: Collection[str]) -> dict[str, Change]:
        """What was decided last about those of these videos that are on the list, by id; the resumed ones too."""
        rows = self._database.run("let_go_among", video_ids=list(video_ids)) if video_ids else []
        return {
            row["video_id"]: Change(row["video_id"], State(row["state"]), as_utc(row["changed_at"])) for row in rows
        }

    def all(self) -> dict[str, Change]:
        """The whole list by id, some 300 bytes of memory a video."""
        rows = self._database.run("let_go_all")
        return {
            row["video_id"]: Change(row["video_id"], State(row["state"]), as_utc(row["changed_at"])) for row in rows
        }

    def leave(self, video_ids: Sequence[str]) -> int:
        """Take these videos off the watchlist, a thousand at a time; returns how many were there.

        Waits for claims that hold any of them: the points of their calls are staged then.
        """
        return self._in_batches("let_go_leave", video_ids)

    def forget(self, video_ids: Sequence[str]) -> int:
        """Delete the metadata, refusals and audits of these videos, a thousand at a time; returns how many had
        metadata."""
        return self._in_batches("let_go_forget", video_ids)

    def traces(self, video_ids: Sequence[str]) -> dict[str, int]:
        """How many rows each table has of these videos, beside the list itself."""
        (found,) = self._database.run("let_go_traces", video_ids=list(video_ids))
        return dict(found)

    def enforce(self) -> int:
        """Take off the watchlist who is let go and there all the same; returns how many were."""
        return self._database.change("let_go_enforce")

    def of_channels(self, channel_ids: Sequence[str]) -> list[str]:
        """The videos of these channels that the table `videos` has."""
        return [row["video_id"] for row in self._database.run("let_go_of_channels", channel_ids=list(channel_ids))]

    def _in_batches(self, query: str, video_ids: Sequence[str]) -> int:
        return sum(self._database.change(query, video_ids=ids) for ids in chunked(video_ids, _AT_A_TIME))

    def note(self, changes: Sequence[Change]) -> int:
        """Put these onto the list, where it has no later ones; returns how many were."""
        return self._database.change(
            "let_go_note",
            video_id=[each.video_id for each in changes],
            state=[each.state.value for each in changes],
            changed_at=[each.changed_at for each in changes],
        )
