"""Two lists of what was let go become one: the later decision about a video holds, whichever list has it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.let_go import Change, State, united, unknown_to

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CHANGES = st.builds(
    Change,
    video_id=st.sampled_from(["a", "b", "c"]),
    state=st.sampled_from(State),
    changed_at=st.integers(0, 3).map(lambda hours: NOW + timedelta(hours=hours)),
)
LISTS = st.lists(CHANGES).map(lambda changes: united(changes, []))


def test_the_later_change_of_a_video_holds() -> None:
    forgotten = Change("a", State.FORGOTTEN, NOW)
    resumed = Change("a", State.RESUMED, NOW + timedelta(hours=1))
    paused = Change("b", State.PAUSED, NOW)
    assert united([forgotten, paused], [resumed]) == {"a": resumed, "b": paused}
    assert united([resumed], [forgotten]) == {"a": resumed}


def test_only_resumed_videos_may_be_tracked() -> None:
    assert [state for state in State if not state.lets_go] == [State.RESUMED]


@given(LISTS, LISTS)
def test_it_does_not_matter_which_list_is_the_backup(one: dict[str, Change], other: dict[str, Change]) -> None:
    whole = united(one.values(), other.values())
    assert whole == united(other.values(), one.values())
    for mine in (one, other):
        learned = unknown_to(mine, whole)
        assert united(mine.values(), learned) == whole
        assert unknown_to(whole, united(mine.values(), learned)) == []
