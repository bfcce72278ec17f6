"""Track the statistics of YouTube videos for ever, on a tiny SQL footprint."""

__version__ = "0.1.0"
