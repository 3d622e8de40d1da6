"""Every system of the gallery can be sent to another process, and is the same there."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import qpot
from qpot.gallery import GalleryCase

NAMES = sorted(set(qpot.gallery.__all__) - {"GalleryCase", "names"})


@pytest.mark.parametrize("name", NAMES)
def test_a_system_and_its_case_travel(name: str) -> None:
    arguments = (np.eye(2), np.eye(2)) if name == "ornstein_uhlenbeck" else ()
    case: GalleryCase = getattr(qpot.gallery, name)(*arguments)
    points = case.minima[:1] + 0.1
    for sent in (pickle.loads(pickle.dumps(case.system)), pickle.loads(pickle.dumps(case)).system):
        np.testing.assert_array_equal(sent.drift(points), case.system.drift(points))
        np.testing.assert_array_equal(sent.covariance(points), case.system.covariance(points))
        # What has travelled once can be sent on.
        pickle.dumps(sent)
