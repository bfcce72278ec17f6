"""YouTube's Data API v3: one door, in three files."""

from ghost_tracking.hooks.youtube.answer import Answer
from ghost_tracking.hooks.youtube.hook import YouTubeHook

__all__ = ["Answer", "YouTubeHook"]
