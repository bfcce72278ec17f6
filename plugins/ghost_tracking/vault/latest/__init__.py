"""The newest point of every video: read from whatever layers have points, in bounded memory.

`reading` finds it, video by video or as one stream sorted by id; `merging` merges streams that are sorted by id, and
`runs` makes sorted streams of the hours, which are sorted by time.
"""
