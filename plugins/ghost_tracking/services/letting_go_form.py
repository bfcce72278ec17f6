"""What the hunter's form, or a command, asks to let go: which videos it names, and what becomes of them."""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

from ghost_tracking.core.lists import BadLine, read_list
from ghost_tracking.core.video_ids import is_channel_id, parse_brought_video, parse_channel_reference
from ghost_tracking.errors import BadInputError
from ghost_tracking.services.importing import OpenList, brings_list, lines_of
from ghost_tracking.services.letting_go import VERBS, LettingGo
from ghost_tracking.wording import pluralize


def is_asked_for(form: Mapping[str, Any]) -> bool:
    """Whether the hunter's form is about letting go; BadInputError where it only has fields of that."""
    if form.get("let_go"):
        return True
    fields = [name for name in ("channel", "confirm", "also_forgotten") if form.get(name)]
    if fields:
        raise BadInputError(f"the form has {' and '.join(fields)}, but no action: choose one in let_go")
    return False


def from_form(form: Mapping[str, Any], letting_go: LettingGo, open_list: OpenList) -> str:
    """Do, or show, what the hunter's form asks for; the sentence that says what. Raises as `decide`."""
    state = VERBS[form["let_go"]]
    with lines_of(form, open_list) if brings_list(form) else nullcontext(()) as lines:
        ids = named(form, letting_go, lines)
    outcome = letting_go.decide(
        state, ids, confirm=bool(form.get("confirm")), also_forgotten=bool(form.get("also_forgotten"))
    )
    shown = "; ".join(outcome.lines)
    return f"{outcome.message}: {shown}" if shown else outcome.message


def named(form: Mapping[str, Any], letting_go: LettingGo, lines: Iterable[str] = ()) -> list[str]:
    """The videos that `videos`, `channel` and the lines of a list (with `list_column`) name, each once.

    Raises BadInputError where a line names none: half of what somebody asks for would be done in silence.
    """
    found, bad, first_bad = dict[str, None](), 0, ""
    for number, line in enumerate(form.get("videos") or [], 1):
        try:
            if line.strip():
                found[parse_brought_video(line)] = None
        except ValueError as error:
            bad, first_bad = bad + 1, first_bad or f"line {number}: {error}"
    for each in read_list(lines, (form.get("list_column") or "").strip() or None) if lines else ():
        if isinstance(each, BadLine):
            bad, first_bad = bad + 1, first_bad or str(each)
        else:
            found[each[1]] = None
    if bad:
        raise BadInputError(f"{pluralize(bad, 'line names', 'lines name')} no video, so none is let go: {first_bad}")
    if channel := (form.get("channel") or "").strip():
        found |= dict.fromkeys(letting_go.ids_of_channels([_channel_id(channel)]))
    return list(found)


def _channel_id(text: str) -> str:
    try:
        channel = parse_channel_reference(text)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    if not is_channel_id(channel):
        raise BadInputError(f"{channel} is a handle, and metadata has ids only: name the channel by its id, UC…")
    return channel
