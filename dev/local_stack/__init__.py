"""A whole Ghost Tracking on one machine: what `make run` and `make demo` start, and tests can."""

from local_stack.errors import AlreadyRunningError, ApiError, ComponentDiedError, NoAnswerError, StackError
from local_stack.stack import LocalStack

__all__ = ["AlreadyRunningError", "ApiError", "ComponentDiedError", "LocalStack", "NoAnswerError", "StackError"]
