"""Run work on a stack so that it ends in order, however it ends."""

from __future__ import annotations

import os
from collections.abc import Callable

from local_stack.airflow_config import API_KEY_VARIABLE
from local_stack.errors import StackError
from local_stack.signals import EndingSignals, Make, StopRequested
from local_stack.stack import LocalStack
from local_stack.terminal import Terminal

Work = Callable[[], int]


def take_api_key() -> str | None:
    """The API key, removed from this process's environment so that no child can inherit it."""
    return os.environ.pop(API_KEY_VARIABLE, "").strip() or None


def supervise(stack: LocalStack, work: Work, terminal: Terminal, *, stopped_code: Callable[[int], int]) -> int:
    """Do the work, then stop the stack in any case; the exit code.

    `stopped_code` makes an exit code of the signal that ended the work. The signals may raise once, inside the
    outer `try`; from the moment that `stop` runs they raise no more.
    """
    signals = EndingSignals(impatience=stack.lose_patience)
    code = 1
    try:
        try:
            signals.install()
            Make().watch()
            code = work()
        finally:
            signals.hold()
    except StopRequested as stop:
        terminal.say()
        terminal.event(f"{stop}: stopping (once more to hurry)")
        code = stopped_code(stop.number)
    except StackError as error:
        terminal.error(str(error))
    finally:
        stack.stop()
    return code
