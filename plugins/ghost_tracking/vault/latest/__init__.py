"""The newest point of every video: read from whatever layers have points, in bounded memory.

`reading` gives it as one stream sorted by id, `lookup` for a few videos. The layer `latest/` has most of it: `manifest`
says in which `shards`, and what these have seen of the history, `refreshing` writes them, `proof` compares them with
the history. `merging` merges streams that are sorted by id.
"""
