"""Named systems whose answer is known: for tests, examples, and a first look at a new method.

Every entry is a function that returns a `GalleryCase`. Quasi-potentials follow the library's convention: 1/2 in front of
the action, a = sigma sigma^T, no epsilon, so that a = I and b = -grad L give 2 (L(x) - L(minimum)).

Modules:

- `case`: GalleryCase: a system together with its known answer.
- `double_wells`: Two minima in two and more dimensions: what the covariance does to their balance.
- `landscapes`: Losses with more than two minima.
- `non_gradient`: Drifts that are not gradients.
- `one_dimensional`: Wells on a line, where the quasi-potential is an integral.
- `travelling`: Systems of the gallery that can be sent to other processes, though their functions are local to the one
  that makes them.
"""

from qpot.gallery.case import GalleryCase
from qpot.gallery.double_wells import (
    curved_valley,
    embedded_double_well,
    high_dimensional_well,
    piecewise_minima,
    rotated_well,
    separable_double_well,
    symmetric_minima,
)
from qpot.gallery.landscapes import egg_crate, four_wells, mueller_brown
from qpot.gallery.non_gradient import consumer_resource, maier_stein, ornstein_uhlenbeck
from qpot.gallery.one_dimensional import double_well, loss_noise_well, tilted_noise_well, two_depths

__all__ = [
    "GalleryCase",
    "consumer_resource",
    "curved_valley",
    "double_well",
    "egg_crate",
    "embedded_double_well",
    "four_wells",
    "high_dimensional_well",
    "loss_noise_well",
    "maier_stein",
    "mueller_brown",
    "names",
    "ornstein_uhlenbeck",
    "piecewise_minima",
    "rotated_well",
    "separable_double_well",
    "symmetric_minima",
    "tilted_noise_well",
    "two_depths",
]


def names() -> tuple[str, ...]:
    """Names of all cases of the gallery.

    Returns
    -------
    tuple of str
        The names of the functions that return a `GalleryCase`.

    Examples
    --------
    >>> "maier_stein" in names()
    True
    """
    return tuple(name for name in __all__ if name not in ("GalleryCase", "names"))
