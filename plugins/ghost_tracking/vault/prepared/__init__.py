"""What the page shows, prepared by the runs that change it: small files that say of which moment they are.

`gains` has the largest gains of each hour, which batches stage and publications merge; `figures` what is made of them.
All of it can be made again from the points, as `rebuild` does for the gains: losing it loses no observation.
"""

from datetime import timedelta
from typing import Final

REBUILT_FROM: Final = timedelta(days=16)
"""The gains of eight days are made from the points of so many, since an interval may be a week long."""
QUICKLY: Final = 5_000_000
"""Points of which the gains of the last days are made within some ten seconds."""
