"""What a live activation is held against: every feature's own activations over the corpus, for whole arrays at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # browsing alone needs no numpy, and its image has none
    import numpy as np
    from numpy.typing import NDArray

Indices: TypeAlias = "NDArray[np.int64]"
Values: TypeAlias = "NDArray[np.float64]"


@dataclass(frozen=True)
class Scales:
    """Of one dictionary. Row i belongs to feature i.

    shares: (n_knots,) ascending, the last 1
    values: (n_features, n_knots), ascending: `share` of the feature's active tokens have at most this activation;
    the last column is its maximum, 0 for a feature that never fired
    n_active: (n_features,), tokens on which it fires, of n_tokens unmasked ones
    """

    shares: Values
    values: Values
    n_active: Indices
    n_tokens: int

    @property
    def maxima(self) -> Values:
        return self.values[:, -1]

    def percentiles(self, features: Indices, activations: Values) -> Values:
        """Per cent of each feature's active tokens with at most this activation; NaN where it never fired.

        Linear between the stored quantiles, and from 0 to the first. features, activations: (n,).
        """
        import numpy as np

        knots = self.values[features]
        place = np.count_nonzero(activations[:, None] >= knots, axis=1)
        inside = np.minimum(place, knots.shape[1] - 1)
        rows = np.arange(len(features))
        low, high = np.where(inside > 0, knots[rows, inside - 1], 0.0), knots[rows, inside]
        low_share, high_share = np.concatenate([[0.0], self.shares])[inside], self.shares[inside]
        width = np.where(high > low, high - low, 1.0)
        found = 100 * (low_share + (activations - low) / width * (high_share - low_share))
        found = np.where(place == knots.shape[1], 100.0, found)
        return np.where(self.n_active[features] > 0, found, np.nan)

    def n_as_strong(self, features: Indices, activations: Values) -> Values:
        """About how many tokens of the corpus have each feature at least this strong: n_active * (1 - percentile).

        Below 1 where the activation is beyond all, or nearly all, that the corpus holds. features, activations: (n,).
        """
        return self.n_above(features, self.percentiles(features, activations))

    def n_above(self, features: Indices, percentiles: Values) -> Values:
        """The same of activations whose percentiles are known."""
        import numpy as np

        return self.n_active[features] * (1 - np.nan_to_num(percentiles, nan=100.0) / 100)
