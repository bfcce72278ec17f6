"""Numbers in sentences."""


def counted(number: float, one: str, more: str | None = None) -> str:
    """A number and what there is of it: `1 video`, `1,200 videos`; `more` where that is not `one` with an s."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
