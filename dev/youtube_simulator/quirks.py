"""Ways in which true servers differ from each other: settable while the simulator runs."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(slots=True)
class Quirks:
    """Each is off by default, or as the discovery document has it.

    fractions: print every time with milliseconds (2026-01-15T10:00:00.000Z).
    omit_empty_items: leave `items` out when there are none (channels.list always does).
    summary: add a `summary` to batchGetStats answers.
    duration: batchGetStats durations as seconds ("213s", the discovery document's form) or "iso" (PT3M33S).
    search: "complete" finds every video that fits, "sampled" misses some, differs between calls and ends at
        500 results.
    search_repeats: after the last page of a search come more page tokens, which repeat that page.
    uploads_disorder: neighbours in lists of uploads change places.
    """

    fractions: bool = False
    omit_empty_items: bool = False
    summary: bool = False
    duration: Literal["seconds", "iso"] = "seconds"
    search: Literal["complete", "sampled"] = "complete"
    search_repeats: bool = False
    uploads_disorder: bool = False

    def update(self, settings: dict[str, Any]) -> None:
        """Change some of them by name; raise ValueError for an unknown name or a wrong value."""
        for name, value in settings.items():
            if name not in asdict(self):
                raise ValueError(f"unknown quirk: {name}")
            choices = {"duration": ("seconds", "iso"), "search": ("complete", "sampled")}.get(name, (True, False))
            if value not in choices:
                raise ValueError(f"{name} is one of {', '.join(map(str, choices))}")
            setattr(self, name, value)
