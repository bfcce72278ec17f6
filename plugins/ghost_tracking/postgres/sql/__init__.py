"""Named queries and migrations, as package data. SQL is data: nothing here is put together from strings."""

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_HEADER = re.compile(r"^-- name: (?P<name>[a-z_]+)\n(?P<body>.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


@cache
def queries() -> MappingProxyType[str, str]:
    """Every query of queries.sql by its name: the header says what it is for, the statement ends with a semicolon."""
    text = files(__name__).joinpath("queries.sql").read_text(encoding="utf-8")
    return MappingProxyType({match["name"]: match["body"].strip() for match in _HEADER.finditer(text)})
