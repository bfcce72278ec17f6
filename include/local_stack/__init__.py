"""A whole Ghost Tracking on one machine: what `make run` and `make demo` start, and tests can."""

from local_stack.errors import AlreadyRunning, ApiError, ComponentDied, StackError
from local_stack.stack import LocalStack

__all__ = ["AlreadyRunning", "ApiError", "ComponentDied", "LocalStack", "StackError"]
