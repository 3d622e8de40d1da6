"""Domains that end: what is accepted, the coordinates without sides, and functions that are never called outside."""

from collections.abc import Callable

import numpy as np
import pytest

import qpot
from qpot._core.arrays import NonFiniteError
from qpot.problem.charts import chart_of
from qpot.problem.domain import OutsideDomainError
from qpot.problem.side_maps import side_map


def strict(f: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """The function, which fails where it is called for a number that is not positive."""

    def called(x: np.ndarray) -> np.ndarray:
        assert (x > 0.0).all(), f"called at {x.min()}"
        return f(x)

    return called


def logistic(power: int = 1) -> qpot.System:
    return qpot.System(
        drift=strict(lambda x: x * (1 - x)),
        covariance=strict(lambda x: (x**power * (1 + x))[:, :, None]),
        dimension=1,
        domain=[(0, None)],
    )


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ([(0, None), (0, 1)], "one .low, high. pair"),
        ([(1, 0)], "low must be below high"),
        (3.0, "one .low, high. pair"),
    ],
)
def test_a_domain_that_is_none_is_refused(domain: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.System(drift=lambda x: -x, covariance=1.0, dimension=1, domain=domain)  # type: ignore[arg-type]


def test_open_sides_everywhere_are_no_domain() -> None:
    assert qpot.System(drift=lambda x: -x, covariance=1.0, dimension=1, domain=[(None, None)]).domain is None


def test_functions_are_not_called_outside() -> None:
    system = logistic()
    for function in (system.drift, system.covariance, system.jacobian):
        with pytest.raises(NonFiniteError, match="outside the system's domain"):
            function([[-0.1]])
    with pytest.raises(OutsideDomainError, match="lies outside"):
        qpot.minimum_action_path(system, [1.0], [-1.0])


def test_differences_next_to_a_side_stay_inside() -> None:
    slope = logistic().jacobian([[1e-9]])[0, 0, 0]
    assert slope == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("below", ["root", "log", "closed"])
@pytest.mark.parametrize("above", ["root", "log", "closed"])
@pytest.mark.parametrize("ends", [(0.0, np.inf), (-np.inf, 2.0), (-1.0, 3.0)])
def test_maps_are_inverted_and_their_slopes_are_those(below: str, above: str, ends: tuple[float, float]) -> None:
    m = side_map(*ends, below, above, 1.0)
    x = np.clip(np.linspace(-0.9, 1.9, 23), ends[0] + 0.05, ends[1] - 0.05)
    y = m.y(x)
    assert np.allclose(m.x(y), x, rtol=0, atol=1e-11)
    step = 1e-5
    assert np.allclose((m.x(y + step) - m.x(y - step)) / (2 * step), m.slope(y), rtol=1e-7)


def test_the_noise_decides_on_the_map() -> None:
    for power, faces in ((1, 1), (2, 0), (0, 0)):
        assert len(chart_of(logistic(power), np.array([[1.0]]), None).coordinates.faces) == faces


def test_symmetries_and_other_noise_are_refused() -> None:
    with pytest.raises(ValueError, match="symmetries is not available"):
        qpot.find_minima(logistic(), [(0, 2)], symmetries=[np.eye(1)])
    with pytest.raises(ValueError, match="domain goes with"):
        qpot.System(drift=lambda x: -x, noise=logistic().noise, dimension=1, domain=[(0, None)])
