"""Every example and notebook of the course runs in a fresh process, keeps its own assertions, and draws its figure."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import time

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"

# Examples that take more than about 10 s each on one core; the notebooks stage of .ci/run, which runs every example,
# counts for them.
SLOW = {
    "consumer_resource",
    "flows",
    "large_network",
    "leaving_a_domain",
    "machines_on_the_same_data",
    "margin",
    "margin_of_networks",
    "path_kernel",
    "phase_retrieval",
    "robust_regression",
    "sgd_and_svm",
    "sharp_or_flat",
    "small_network",
    "small_populations",
    "sunspots",
    "symmetric_minima",
    "where_is_sgd_after_n_steps",
    "your_network",
}

# The notebooks of the course are read as they run, so that each of them takes a while; some take more than 10 s.
SLOW_NOTEBOOKS = {
    "1_what_a_quasi_potential_is",
    "2_your_own_system",
    "3_your_own_loss",
    "4_your_own_network",
    "5_noise",
    "6_where_is_sgd_after_n_steps",
    "7_checking_against_the_real_algorithm",
}

TORCH = {"large_network", "your_network"}


def _scripts() -> list[object]:
    missing = importlib.util.find_spec("torch") is None
    without = pytest.mark.skipif(missing, reason="needs PyTorch: pip install 'qpot[torch]'")
    slow = {
        script: [pytest.mark.slow] if script.stem in SLOW | SLOW_NOTEBOOKS else []
        for folder in (EXAMPLES, EXAMPLES / "course")
        for script in sorted(folder.glob("*.py"))
    }
    return [
        pytest.param(script, id=script.stem, marks=marks + ([without] if script.stem in TORCH else []))
        for script, marks in slow.items()
    ]


@pytest.mark.parametrize("script", _scripts())
def test_example(script: pathlib.Path, tmp_path: pathlib.Path) -> None:
    figure = script.parent / "output" / f"{script.stem}.png"
    start = time.time()
    # An example must not depend on the folder in which it is started, so it is run from elsewhere.
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, f"{script.name} failed\n{run.stdout[-3000:]}\n{run.stderr[-6000:]}"
    assert run.stdout.strip(), f"{script.name} printed nothing"
    assert figure.is_file(), f"{script.name} drew no {figure.relative_to(EXAMPLES)}"
    assert figure.stat().st_mtime >= start - 2, f"{figure.relative_to(EXAMPLES)} is an old one"
    assert not list(tmp_path.iterdir()), f"{script.name} wrote into the folder it was started in"


def test_slow_examples_exist() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} >= SLOW
    assert {path.stem for path in (EXAMPLES / "course").glob("*.py")} >= SLOW_NOTEBOOKS
