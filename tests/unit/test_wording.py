"""Numbers in sentences."""

from ghost_tracking.wording import pluralize


def test_one_is_one_and_all_others_are_more() -> None:
    assert [pluralize(number, "video") for number in (0, 1, 2, 1_200)] == [
        "0 videos",
        "1 video",
        "2 videos",
        "1,200 videos",
    ]
    assert [pluralize(number, "batch is", "batches are") for number in (1, 3)] == ["1 batch is", "3 batches are"]
