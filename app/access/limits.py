"""How often somebody may: a bucket that holds so many tries and fills again over a time, kept in this process."""

import math
import threading
import time
from collections import OrderedDict

from app.errors import TooMany

KEPT = 10_000  # buckets; the ones untouched longest are forgotten, and those are full again by then


class Limit:
    """`most` tries at once, and as many again over `seconds`."""

    def __init__(self, what: str, most: int, seconds: float) -> None:
        self.what = what
        self.most = most
        self.seconds = seconds
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> None:
        """One try. Raises TooMany where none is left."""
        with self._lock:
            left = self._left(who)
            if left < 1:
                wait = math.ceil((1 - left) * self.seconds / self.most)
                raise TooMany(f"Too many {self.what}; try again in {wait} seconds.", wait)
            self._put(who, left - 1)

    def _left(self, who: str) -> float:
        left, at = self._buckets.get(who, (float(self.most), 0.0))
        return min(float(self.most), left + (time.monotonic() - at) * self.most / self.seconds)

    def _put(self, who: str, left: float) -> None:
        self._buckets[who] = (left, time.monotonic())
        self._buckets.move_to_end(who)
        while len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
