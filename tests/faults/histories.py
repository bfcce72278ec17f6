"""Of which numbers the tests of random histories make them.

Each history comes of its own number, counted from a seed that is printed. GHOST_FAULT_SEED sets the seed, and
GHOST_FAULT_HISTORIES how many there are, so that one that failed can be had again alone: processes that run at the
same time need not meet in the same way, but what is done is the same.
"""

import os
import random

SEED = int(os.environ.get("GHOST_FAULT_SEED") or random.SystemRandom().randrange(1_000_000))
HISTORIES = int(os.environ.get("GHOST_FAULT_HISTORIES") or 100)
