"""What end-to-end tests see of their stack."""

from collections.abc import Iterator

import psycopg
import pytest

from local_stack.stack import LocalStack


@pytest.fixture
def sql(stack: LocalStack) -> Iterator[psycopg.Connection]:
    """A session on the ghost database."""
    with psycopg.connect(stack.ghost_dsn, autocommit=True) as session:
        yield session
