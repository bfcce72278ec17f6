"""A simulator of the YouTube Data API v3, for tests, demonstrations and load: see README.md beside this file."""

from .clock import SimulatorClock
from .faults import Fault, FaultKind, FaultPlan, MalformedForm
from .journal import Journal, NamedVideo, ServedCall, ServedReading
from .lateness import Lateness
from .quirks import Quirks
from .quota import Bucket, QuotaLedger
from .replay import load_replay
from .server import SimulatorServer, serve
from .simulator import Simulator
from .world import World

__all__ = [
    "Bucket",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "Journal",
    "Lateness",
    "MalformedForm",
    "NamedVideo",
    "Quirks",
    "QuotaLedger",
    "ServedCall",
    "ServedReading",
    "Simulator",
    "SimulatorClock",
    "SimulatorServer",
    "World",
    "load_replay",
    "serve",
]
