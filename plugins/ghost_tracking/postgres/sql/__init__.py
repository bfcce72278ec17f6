"""Named queries and the schema, as package data. SQL is data: nothing here is put together from strings.

A file has the queries of the module of postgres/ with its name. Parameters are bound as %(name)s; times are
timestamptz, UTC; where `now` is null, the database's clock decides.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_HEADER = re.compile(r"^-- name: (?P<name>[a-z_]+)\n(?P<body>.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


@cache
def queries() -> Mapping[str, str]:
    """Every query by its name: the header says what it is for, the statement ends with a semicolon."""
    scripts = sorted((each for each in files(__name__).iterdir() if each.name.endswith(".sql")), key=str)
    return MappingProxyType(parse(script.read_text(encoding="utf-8") for script in scripts))


def parse(scripts: Iterable[str]) -> dict[str, str]:
    """The queries of these scripts by name; ValueError for a name that two of them have."""
    found: dict[str, str] = {}
    for script in scripts:
        for match in _HEADER.finditer(script):
            if match["name"] in found:
                raise ValueError(f"two queries are called {match['name']}")
            found[match["name"]] = match["body"].strip()
    return found
