"""YouTube's Data API v3 without Airflow, in layers that each call only those below.

`client`: the verbs. `batching`: many ids, in batches over threads. `videos`: what one batch of ids is asked for.
`calls`: one call, with its retries, its payment and what its answer means. `transport`: one HTTP request. Beside them,
`rounds`: how long the calls of one question may take and how they go; `results`: what an answer says, item by item.
"""

from ghost_tracking.youtube.calls import ApiCalls, Endpoint
from ghost_tracking.youtube.client import YouTubeClient
from ghost_tracking.youtube.results import BatchResult

__all__ = ["ApiCalls", "BatchResult", "Endpoint", "YouTubeClient"]
