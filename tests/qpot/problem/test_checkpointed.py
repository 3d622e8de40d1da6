"""Folders of checkpoints: which calls may use them, and what is said to others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qpot
from qpot._core import checkpoint_folder
from qpot._core.folder_lock import locked
from qpot.problem.identity import difference, identity_of

MINIMA = np.array([[-1.0], [1.0]])


def well(depth: float = 1.0, noise: float = 1.0) -> qpot.System:
    return qpot.System.from_loss(
        lambda x: depth * (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: depth * (x**3 - x), noise, dimension=1
    )


def costs(folder: Path, system: qpot.System | None = None, **options: Any) -> qpot.TransitionCosts:
    system = well() if system is None else system
    minima = qpot.find_minima(system, [(-2, 2)], starts=8, coverage=None)
    return qpot.transition_costs(system, minima, bounds=[(-2, 2)], checkpoint=folder, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    costs(tmp_path / "run")
    return tmp_path / "run"


def test_functions_without_a_name_are_known_by_their_values(folder: Path) -> None:
    assert (folder / "README.txt").read_text().startswith("The finished parts of a computation by qpot")
    again = costs(folder)
    assert np.allclose(again.values, [[0, 0.5], [0.5, 0]], atol=1e-9)


@pytest.mark.parametrize(
    ("system", "options", "message"),
    [
        (well(depth=1.0 + 1e-7), {}, r"another system: its drift at \(.*\) is another: .* here, .* in the folder"),
        (well(noise=1.01), {}, "another system: its covariance at"),
        (None, {"budget": 3.0}, "another budget: 3.0 here, None in the folder"),
        (None, {"method": qpot.GeometricAction(tolerance=1e-7)}, "another method: Geo.* here, None in the folder"),
    ],
)
def test_another_call_is_refused(
    folder: Path, system: qpot.System | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        costs(folder, system, **options)


def test_another_function_version_or_code_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError, match=r"belongs to a call of qpot.transition_costs, and this is one of qpot.predict"
    ):
        qpot.predict(well(), [(-2, 2)], checkpoint=folder)
    monkeypatch.setattr(checkpoint_folder, "source_digest", lambda: "another")
    with pytest.raises(ValueError, match="was written by other code of qpot"):
        costs(folder)
    monkeypatch.setattr(qpot, "__version__", "0.0.0")
    with pytest.raises(ValueError, match=r"was written by qpot .*, and this is 0.0.0"):
        costs(folder)


def test_another_machine_rounds_differently(folder: Path) -> None:
    about = json.loads((folder / "about.json").read_text())
    values = about["system"]["values"]["drift"]

    def moved(part: float) -> list[dict[str, Any]]:
        return [{**value, "numbers": [x * (1 + part) for x in value["numbers"]]} for value in values]

    about["system"]["values"]["drift"] = moved(1e-13)
    (folder / "about.json").write_text(json.dumps(about))
    costs(folder)
    about["system"]["values"]["drift"] = moved(1e-7)
    (folder / "about.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="its drift at"):
        costs(folder)


def test_a_copy_of_the_folder_will_do(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    costs(tmp_path / "copy")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("text")
    with pytest.raises(ValueError, match=r"holds other files \(mine.txt\); pass an empty folder"):
        costs(tmp_path)
    (tmp_path / "about.json").write_text("{")
    with pytest.raises(ValueError, match=r"about.json cannot be read"):
        costs(tmp_path)
    (tmp_path / "about.json").write_text("{}")
    with pytest.raises(ValueError, match=r"about.json is not that of a checkpoint"):
        costs(tmp_path)


def test_one_process_at_a_time(folder: Path) -> None:
    with locked(folder), pytest.raises(ValueError, match="is in use by another thread of this process"):
        costs(folder)
    code = (
        f"from pathlib import Path; from qpot._core.folder_lock import locked; import sys\n"
        f"with locked(Path({str(folder)!r})):\n    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match=rf"is in use by process {holder.pid} on .*; wait until"):
            costs(folder)
        holder.kill()
    costs(folder)


def test_a_sum_is_known_by_its_samples() -> None:
    rng = np.random.default_rng(0)
    data = rng.random(500)

    def mean(data: np.ndarray) -> qpot.FiniteSum:
        return qpot.FiniteSum(
            sample_losses=lambda x: (x - data) ** 2 / 2,
            sample_gradients=lambda x: (x - data)[:, :, None],
            n_samples=data.size,
            dimension=1,
        )

    box = np.array([-1.0]), np.array([1.0])
    other = data.copy()
    other[137] += 1e-5
    for make in (qpot.System.from_finite_sum, lambda x: x):
        one = identity_of(make(mean(data)), *box)
        assert json.loads(json.dumps(one)) == one
        assert difference(one, identity_of(make(mean(data)), *box)) == ""
        assert difference(one, identity_of(make(mean(other)), *box)) != ""
        assert "of 500 samples" in difference(one, identity_of(make(mean(data[1:])), *box))


@pytest.mark.parametrize("d", [3, 300])
def test_every_kind_of_covariance_is_looked_at(d: int) -> None:
    def system(level: float, kind: str) -> qpot.System:
        factor = np.ones((d, 1))
        covariance: Any = {
            "number": level,
            "matrix": level * np.eye(d),
            "function": lambda x: level * (1 + x[:, :1, None] ** 2) * np.eye(d),
            "factors": qpot.covariance.factored(factor, level),
            "varying factors": qpot.covariance.factored(
                lambda x: level * (1 + x[:, :1, None] ** 2) * factor,
                1.0,
                gradient=lambda x, p: np.zeros_like(x),
            ),
        }[kind]
        return qpot.System(drift=lambda x: -x, covariance=covariance, dimension=d)

    box = np.full(d, -1.0), np.ones(d)
    for kind in ("number", "matrix", "function", "factors", "varying factors"):
        if kind == "function" and d > 200:
            continue  # So many dimensions need a covariance by products.
        one = identity_of(system(1.0, kind), *box)
        assert difference(one, identity_of(system(1.0, kind), *box)) == ""
        assert "its covariance at" in difference(one, identity_of(system(1.001, kind), *box)), kind


def test_values_of_single_precision_are_compared_as_such() -> None:
    def system(part: float) -> qpot.System:
        def drift(x: np.ndarray) -> np.ndarray:
            return np.asarray((-x * (1 + part)).astype(np.float32))

        return qpot.System(drift=drift, covariance=np.eye(2), dimension=2)

    box = np.full(2, -1.0), np.ones(2)
    one = identity_of(system(0.0), *box)
    assert difference(one, identity_of(system(1e-6), *box)) == ""
    assert "its drift at" in difference(one, identity_of(system(1e-3), *box))


@pytest.mark.parametrize("scale", [1e-6, 1.0])
def test_a_wrong_gradient_is_named_as_without_a_checkpoint(tmp_path: Path, scale: float) -> None:
    def loss(x: np.ndarray) -> np.ndarray:
        return np.asarray(((x[:, 0] / scale) ** 2 - 1) ** 2 / 4)

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.asarray(((x / scale) ** 3 - x / scale) / scale)

    box = [(-2.0 * scale, 2.0 * scale)]
    right = qpot.System.from_loss(loss, gradient, scale**2, dimension=1)
    assert len(qpot.predict(right, box, second_opinion=False, checkpoint=tmp_path / "a").minima) == 2
    assert "none" not in (tmp_path / "a" / "about.json").read_text()
    wrong = qpot.System.from_loss(loss, lambda x: 1.1 * gradient(x), scale**2, dimension=1)
    with pytest.raises(ValueError, match="is not the gradient of the loss"):
        qpot.predict(wrong, box, checkpoint=tmp_path / "b")


def test_an_argument_to_refuse_is_refused_as_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bounds has shape"):
        qpot.predict(well(), [1.0, 2.0, 3.0], checkpoint=tmp_path / "a")
    assert not (tmp_path / "a").exists()
