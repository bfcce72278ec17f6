"""What is wrong with what somebody has written, in their words rather than in pydantic's."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

_Words = Callable[[Any, Mapping[str, Any]], str]

_WORDS: Mapping[str, _Words] = {
    "missing": lambda _value, _limits: "is missing",
    "too_short": lambda _value, _limits: "has no entry",
    "string_too_short": lambda _value, _limits: "is empty",
    "string_too_long": lambda _value, limits: f"is longer than {limits['max_length']} characters",
    "greater_than_equal": lambda value, limits: f"{value} is less than {limits['ge']}",
    "greater_than": lambda value, limits: f"{value} is not more than {limits['gt']}",
    "less_than_equal": lambda value, limits: f"{value} is more than {limits['le']}",
    "literal_error": lambda value, limits: f"{_shown(value)} is not {limits['expected']}",
    "enum": lambda value, limits: f"{_shown(value)} is not {limits['expected']}",
    "value_error": lambda _value, limits: str(limits["error"]),
}
_KINDS = {
    "int": "no whole number",
    "float": "no number",
    "finite": "no finite number",
    "bool": "neither true nor false",
    "string": "no text",
    "tuple": "no list",
}
"""By the first word of the type of pydantic's error, such as `int_parsing`."""


def named(name: str, known: Iterable[str]) -> str:
    """A name that is not among the known ones, with the one that may have been meant."""
    nearest = get_close_matches(name.lower().replace("-", "_"), list(known), 1)
    return f"{name!r} (did you mean {nearest[0]!r}?)" if nearest else repr(name)


def validation_errors(
    error: ValidationError, no_such: str, known: Iterable[str], patterns: Mapping[str, str] | None = None
) -> str:
    """What a validation found, in a sentence for each problem.

    `no_such` is said of a name that is not among the `known`, such as `no such setting`; `patterns` says in words what
    the regular expressions among the rules ask for.
    """
    known = list(known)
    # a tuple none of whose entries is right is said to be too short as well
    problems = [each for each in error.errors() if not (each["type"] == "too_short" and each["input"])]
    return "; ".join(_validation_error(each, no_such, known, patterns or {}) for each in problems)


def _validation_error(problem: Any, no_such: str, known: list[str], patterns: Mapping[str, str]) -> str:
    kind, value, limits = problem["type"], problem["input"], problem.get("ctx", {})
    where = ", ".join(f"entry {part + 1}" if isinstance(part, int) else part for part in problem["loc"])
    if kind == "extra_forbidden":
        return f"{no_such} {named(where, known)}"
    if kind == "string_pattern_mismatch":
        words = f"{_shown(value)} is not {patterns.get(limits['pattern'], 'of the form ' + limits['pattern'])}"
    elif kind in _WORDS:
        words = _WORDS[kind](value, limits)
    elif (first := kind.split("_")[0]) in _KINDS:
        words = f"{_shown(value)} is {_KINDS[first]}"
    else:
        words = problem["msg"]
    return f"{where}: {words}" if where else words  # of all of them together


def _shown(value: object) -> str:
    return "null" if value is None else repr(value)[:80]
