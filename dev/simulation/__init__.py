"""A simulator of time: months of the real hooks, database and vault in minutes; see `__main__`."""
