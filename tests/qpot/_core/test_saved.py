"""Saved results: every class comes back as it was, and what no result holds is refused by the name of its field."""

from __future__ import annotations

import io
import json
import pathlib
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from corrupted import DAMAGE, FORGERIES, forged, members_of, outcome, saved
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saved_results import every, real, sample

import qpot
from qpot._core.archive import array_bytes
from qpot._core.file_schema import LeftOut
from qpot._core.file_tables import table
from qpot._core.file_writer import content


def again(result: Any, **options: Any) -> Any:
    return qpot.load(io.BytesIO(saved(result)), **options)


def edited(result: Any, change: Any) -> io.BytesIO:
    """The file of a result after a change of its fields, with a checksum that fits."""
    members = members_of(saved(result))
    value = json.loads(members["value.json"])
    change(value["objects"])
    return io.BytesIO(forged({**members, "value.json": json.dumps(value).encode()}))


def with_array(result: Any, name: str, array: Any) -> io.BytesIO:
    members = members_of(saved(result))
    assert f"{name}.npy" in members
    return io.BytesIO(forged({**members, f"{name}.npy": array_bytes(np.asarray(array))}))


# --- what is saved is loaded ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wing", "name"), every())
def test_every_class_comes_back(wing: str, name: str) -> None:
    @settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32 - 1))
    def comes_back(seed: int) -> None:
        result = sample(wing, name, np.random.default_rng(seed))
        loaded = again(result)
        assert type(loaded) is type(result)
        assert content(loaded) == content(result)
        assert saved(loaded) == saved(result)

    comes_back()


def test_real_results_say_the_same() -> None:
    for name, result in real().items():
        # The text of a training run names the functions of its model.
        assert name == "TrainingTrajectory" or repr(again(result)) == repr(result)


def test_every_public_result_has_the_methods() -> None:
    for name in (
        "Prediction", "TransitionCosts", "PathSolution", "FieldSolution", "GlobalField", "Ensemble", "EscapeTimes",
        "SplittingTimes", "Comparison", "ExitSolution", "EscapeSolution", "Cycle", "WGraph", "Selection", "FlowTrajectory",
        "MarginFlow", "TrainingTrajectory", "NoiseStatistics", "CovarianceEstimate", "Minima", "Saddles", "Minimum", "Saddle",
        "ReactiveFlux", "TrainingTimeDiagram", "Occupation", "ArrheniusLaw", "Gaussianity", "Controllability",
        "FlatDirections", "Explanation", "HardMargin",
    ):  # fmt: skip
        assert callable(getattr(qpot, name).save), name
        assert callable(getattr(qpot, name).load), name


def test_methods_and_functions_do_the_same(tmp_path: pathlib.Path) -> None:
    costs = real()["TransitionCosts"]
    costs.save(tmp_path / "costs.npz")
    for loaded in (qpot.TransitionCosts.load(tmp_path / "costs.npz"), qpot.load(str(tmp_path / "costs.npz"))):
        assert content(loaded) == content(costs)
    with pytest.raises(ValueError, match="holds a TransitionCosts, not a Prediction"):
        qpot.Prediction.load(tmp_path / "costs.npz")
    # A name is taken as it is, and the same name finds it.
    qpot.save(costs, tmp_path / "no ending")
    assert content(qpot.load(tmp_path / "no ending")) == content(costs)
    qpot.save(costs, tmp_path / "older.npz")
    assert content(qpot.load(tmp_path / "older")) == content(costs)


def test_reasons_notes_and_shared_parts_are_kept() -> None:
    prediction = real()["Prediction"]
    loaded = again(prediction)
    assert loaded.costs.paths[0, 1].reason == "a reason"
    assert loaded.costs.paths[0, 1].note == "a note"
    assert loaded.costs.notes == ("a note",)
    assert loaded.costs.ways_out[0].leads == "out of the box"
    # One minimum is one object, wherever it stands.
    assert all(a is b for a, b in zip(loaded.minima, loaded.costs.minima, strict=True))
    assert loaded.costs.paths[0, 1] is loaded.costs.ways_out[0].path
    assert loaded.costs.paths[0, 1].points.flags.writeable


def test_numpy_reads_the_arrays(tmp_path: pathlib.Path) -> None:
    prediction = real()["Prediction"]
    prediction.save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["costs.values"], prediction.costs.values)
        np.testing.assert_array_equal(stored["costs.paths.0,1.points"], prediction.costs.paths[0, 1].points)
        assert all(stored[name].dtype != object for name in stored.files if not name.endswith(".json"))
        assert json.loads(stored["about.json"])["class"] == "prediction.Prediction"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_arrays_of_any_layout_keep_their_numbers(order: tuple[int, int]) -> None:
    path = real()["PathSolution"]
    n = len(path.points)
    points = np.linspace(0.0, 1.0, 2 * n).reshape(n, 2)[::1, :1].transpose(order).transpose(order)
    loaded = again(replace(path, points=points, alternatives=()))
    np.testing.assert_array_equal(loaded.points, points)
    big = replace(path, times=path.times.astype(">f8"), alternatives=())
    np.testing.assert_array_equal(again(big).times, path.times)


# --- what a file does not hold -------------------------------------------------------------------------------------------


def test_a_system_is_given_when_a_file_is_loaded() -> None:
    system = qpot.gallery.double_well().system
    field = real()["FieldSolution"]
    loaded = again(field)
    np.testing.assert_array_equal(loaded.at([[0.5]]), field.at([[0.5]]))
    with pytest.raises(ValueError, match=r"does not hold its system; load it with load\(file, system=...\)"):
        loaded.path_to([-0.5])
    path = again(field, system=system).path_to([-0.5])
    assert path.action == field.path_to([-0.5]).action
    whole = again(real()["GlobalField"], system=system)
    assert whole.fields[1].system is system
    comparison = again(real()["Comparison"], system=system)
    assert comparison.system is comparison.prediction.system is system
    assert again(real()["Prediction"]).system is None
    with pytest.raises(ValueError, match="system= has the dimension 2, and the FieldSolution of the file has 1"):
        again(field, system=qpot.gallery.four_wells().system)
    moved = qpot.System(drift=lambda x: 0.9 - x, covariance=1.0, dimension=1)
    for result in (field, real()["GlobalField"], real()["Prediction"], real()["Comparison"]):
        with pytest.raises(ValueError, match=r"system= is not that of the (FieldSolution|Prediction) in the file"):
            again(result, system=moved)
        with pytest.raises(ValueError, match=r"system must be a qpot.System, got an object of type str"):
            again(result, system="the system")
    with pytest.raises(ValueError, match=r"sytem= was given.*it takes symmetries, system"):
        again(real()["Prediction"], sytem=system)
    with pytest.raises(ValueError, match=r"system= was given.*it takes none"):
        again(real()["WGraph"], system=system)


def test_a_model_is_given_when_a_training_run_is_loaded() -> None:
    run = real()["TrainingTrajectory"]
    with pytest.raises(ValueError, match="does not hold its model"):
        again(run).predict([[1.0, 0.0]])
    loaded = again(run, model=run.model)
    np.testing.assert_array_equal(loaded.kernel(run.X), run.kernel(run.X))
    with pytest.raises(ValueError, match="model= has 2 outputs, and the TrainingTrajectory of the file has 1"):
        again(run, model=replace(qpot.linear_model(2, outputs=2), dimension=2))


def test_a_flow_of_ones_own_is_left_out() -> None:
    class Slow(qpot.GradientFlow):
        pass

    class Own:
        def initial_memory(self, gradient: Any) -> Any:
            return np.empty(0)

        def velocity(self, loss: float, gradient: Any, memory: Any) -> Any:
            return -0.5 * gradient, memory

        def loss_rate(self, loss: float, gradient: Any, memory: Any) -> float:
            return -0.5 * float(gradient @ gradient)

    bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    run = qpot.integrate_flow(bowl, [2.0, -1.0], flow=Own(), duration=1.0)
    loaded = again(run)
    assert repr(loaded.flow) == "<flow not saved: Own>"
    with pytest.raises(ValueError, match=r"does not hold its flow \(Own\)"):
        loaded.flow.velocity(0.0, np.zeros(2), np.zeros(0))
    assert again(run, flow=run.flow).flow is run.flow
    assert content(loaded) == content(run)
    slow = again(qpot.integrate_flow(bowl, [2.0, -1.0], flow=Slow(), duration=1.0))
    assert isinstance(slow.flow, Slow)


@pytest.mark.parametrize("thing", [3, "text", np.zeros(3), [1], qpot.gallery.double_well().system, qpot.Prediction])
def test_what_is_no_result_is_refused(thing: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "before").write_bytes(b"before")
    with pytest.raises(ValueError, match="is not a result, which a file does not hold"):
        qpot.save(thing, tmp_path / "before")
    assert (tmp_path / "before").read_bytes() == b"before"


def test_what_could_not_be_loaded_is_not_saved(tmp_path: pathlib.Path) -> None:
    prediction = real()["Prediction"]
    prediction.save(tmp_path / "p.npz")
    with pytest.raises(ValueError, match=r"Prediction.selected\[0\] names the id 7"):
        replace(prediction, selected=(7,)).save(tmp_path / "p.npz")
    assert content(qpot.load(tmp_path / "p.npz")) == content(prediction)


def test_a_part_that_is_no_value_is_named() -> None:
    path = replace(real()["PathSolution"], method=object())
    with pytest.raises(ValueError, match="method is a object"):
        saved(path)
    with pytest.raises(ValueError, match="points is an array of type object"):
        saved(replace(real()["PathSolution"], points=np.array([[None]])))


# --- what no result holds ------------------------------------------------------------------------------------------------


def field(name: str, key: str, value: Any) -> Any:
    def change(objects: list[Any]) -> None:
        next(item for item in objects if item["class"].endswith(f".{name}"))["fields"][key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (field("Prediction", "selected", [7]), r"Prediction.selected\[0\] names the id 7, but .* has 2"),
        (field("Prediction", "selected", [0.5]), r"Prediction.selected\[0\] must be a whole number"),
        (field("Prediction", "selected", "01"), "Prediction.selected must hold several values"),
        (field("Prediction", "possible", [-1]), r"Prediction.possible\[0\] must be a whole number of at least 0"),
        (field("Prediction", "margin", "wide"), "Prediction.margin must be a number"),
        (field("Prediction", "population", 2.5), "Prediction.population must be a whole number"),
        (field("Prediction", "costs", {"object": 0}), "Prediction.costs must be a TransitionCosts"),
        (field("Prediction", "minima", []), "Prediction.minima has k = 0, but costs has k = 2"),
        (field("Prediction", "mystery", 1), "Prediction.mystery is not known to this qpot"),
        (field("PathSolution", "status", "CONVERGED"), "PathSolution.status must be one of CONVERGED, INFINITE"),
        (field("PathSolution", "status", {"Status": "DONE"}), "value that is none"),
        (field("PathSolution", "action", {"float": "inf"}), "status is CONVERGED, but action is inf"),
        (field("PathSolution", "via", [{"array": "costs.values"}]), "PathSolution.via"),
        (field("PathSolution", "alternatives", [{"object": 400}]), "value that is none"),
        (field("Saddle", "connects", [0, 5]), "TransitionCosts.saddles name the minimum 5"),
        (field("TransitionCosts", "paths", {"map": [[[0, 9], {"object": 3}]]}), "TransitionCosts.paths"),
        (field("WayOut", "minimum", 4), "TransitionCosts.ways_out name the minimum 4"),
        (field("Minimum", "inside", 1), "Minimum.inside must be True or False"),
    ],
)
def test_a_forged_prediction_is_refused_by_the_field(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.load(edited(real()["Prediction"], change))


@pytest.mark.parametrize(
    ("result", "name", "array", "message"),
    [
        ("Prediction", "costs.values", np.zeros((5, 5)), r"TransitionCosts.values has k = 5, but minima has k = 2"),
        ("Prediction", "costs.values", np.zeros(4), r"TransitionCosts.values has shape \(4,\), expected \(k, k\)"),
        ("Prediction", "costs.errors", -np.ones((2, 2)), "TransitionCosts.errors has an entry -1 below 0"),
        ("Prediction", "costs.direct", np.ones((2, 2)), "TransitionCosts.direct is not zero on its diagonal"),
        ("Prediction", "stationary_costs", np.zeros(3), "Prediction.stationary_costs has k = 3"),
        ("Prediction", "prefactors", np.zeros((2, 2), dtype=int), "Prediction.prefactors must be an array of kind 'f'"),
        ("Prediction", "costs.minima.1.point", np.zeros(2), "Minimum.hessian has d = 1, but point has d = 2"),
        ("Prediction", "costs.minima.1.point", np.array([np.nan]), "Minimum.point has NaN or infinite entries"),
        ("Ensemble", "labels", np.full((5, 4), 2), "Ensemble.labels names the id 2, but minima has 2"),
        ("Ensemble", "steps", np.array([0, 5, 10, 15, 15]), "Ensemble.steps do not increase"),
        ("FieldSolution", "values", np.zeros(40), r"FieldSolution.values has shape \(40,\), but the grid has \(41,\)"),
        ("Cycle", "routes.tails", np.array([0, 0, 1, 1, 2, 9]), "Routes.tails names the minimum 9, but there are 3"),
        ("Cycle", "routes.costs", np.array([1.0, 4.0, 2.0, 1.5, 5.0, np.inf]), "Routes.costs has NaN or infinite"),
    ],
)
def test_forged_arrays_are_refused_by_the_field(result: str, name: str, array: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.load(with_array(real()[result], name, array))


def test_a_forgery_that_changes_nothing_is_the_result() -> None:
    prediction = real()["Prediction"]
    assert content(qpot.load(edited(prediction, lambda objects: None))) == content(prediction)


def test_a_method_is_built_by_its_own_checks() -> None:
    def change(tolerance: Any) -> Any:
        method = {"method": {"class": "GeometricAction", "options": {"tolerance": tolerance}}}
        return field("PathSolution", "method", method)

    with pytest.raises(ValueError, match="tolerance must lie between"):
        qpot.load(edited(real()["PathSolution"], change(7.0)))
    assert qpot.load(edited(real()["PathSolution"], change(1e-6))).alternatives[0].method.tolerance == 1e-6
    other = {"method": {"class": "System", "options": {}}}
    with pytest.raises(ValueError, match=r"the method System, which is not one of .*GeometricAction"):
        qpot.load(edited(real()["PathSolution"], field("PathSolution", "method", other)))
    bare = {"method": {"class": "GeometricAction"}}
    with pytest.raises(ValueError, match=r"PathSolution.method is not usable: the file does not hold the options"):
        qpot.load(edited(real()["PathSolution"], field("PathSolution", "method", bare)))
    options = {"method": {"class": "GeometricAction", "options": {"speed": 1}}}
    with pytest.raises(ValueError, match="does not take the options"):
        qpot.load(edited(real()["PathSolution"], field("PathSolution", "method", options)))


@pytest.mark.parametrize("name", ["subprocess.Popen", "os.system", "paths.System", "chain.Contraction", "", "paths"])
def test_only_results_are_made(name: str) -> None:
    def change(objects: list[Any]) -> None:
        objects[-1]["class"] = name

    with pytest.raises(ValueError, match="which this qpot does not know"):
        qpot.load(edited(real()["WGraph"], change))


def test_a_newer_file_says_so(tmp_path: pathlib.Path) -> None:
    members = members_of(saved(real()["WGraph"]))
    about = json.loads(members["about.json"])
    with zipfile.ZipFile(tmp_path / "newer", "w") as archive:
        archive.writestr("about.json", json.dumps({**about, "version": 99, "qpot": "9.0"}))
    with pytest.raises(ValueError, match=r"version 99, written by qpot '9.0'; this qpot reads up to version 1"):
        qpot.load(tmp_path / "newer")


@pytest.mark.parametrize(
    "about",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": "other"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": "qpot result", "version": "1"}',
    ],
)
def test_headers_that_are_none(about: bytes) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("about.json", about)
    with pytest.raises(ValueError, match=r"no file of a qpot result|was damaged"):
        qpot.load(io.BytesIO(file.getvalue()))


def test_nesting_without_end_is_refused() -> None:
    for value in (b'{"objects": [' + b"[" * 50_000 + b"]" * 50_000 + b'], "result": 0}', b"[" * 100_000):
        members = {**members_of(saved(real()["WGraph"])), "value.json": value}
        with pytest.raises(ValueError, match=r"values within values|object that is none|Expecting value"):
            qpot.load(io.BytesIO(forged(members)))


# --- damage at random ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [*DAMAGE, *FORGERIES])
def test_damaged_files_are_refused_or_what_they_say(way: str) -> None:
    """A share of `benchmarks/corrupted_files.py`, which damages ten thousand files."""
    results = list(real().values())
    for n in range(45):
        rng = np.random.default_rng([way in FORGERIES, n, len(way)])
        result = results[n % len(results)]
        found = outcome(result, {**DAMAGE, **FORGERIES}[way](saved(result), rng), is_forged=way in FORGERIES)
        assert found in ("refused", "equal", "says so"), (type(result).__name__, n, found)


# --- files of earlier releases -------------------------------------------------------------------------------------------

OLDER = pathlib.Path(__file__).resolve().parents[2] / "older_files"


def test_an_older_prediction_is_read() -> None:
    prediction = qpot.Prediction.load(OLDER / "prediction_2.npz")
    assert prediction.selected == (0, 1)
    np.testing.assert_allclose(prediction.costs.direct, [[0.0, 0.5], [0.5, 0.0]], rtol=1e-9)
    assert prediction.costs.paths[0, 1].reason == "made by hand: a reason that is kept"
    assert prediction.costs.notes == ("a note that is kept",)
    assert prediction.costs.holes[0].known == 0.5
    assert prediction.costs.field is not None
    assert prediction.costs.field.reasons == {(0, 1): "a reason"}
    np.testing.assert_array_equal(prediction.dearer[0, 1], [[0.1, 0.2]])  # type: ignore[index]
    assert content(again(prediction)) == content(prediction)


def test_an_older_ensemble_is_read() -> None:
    system = qpot.gallery.double_well().system
    ensemble = qpot.Ensemble.load(OLDER / "ensemble.npz", system=system)
    assert ensemble.points.shape == (5, 4, 1)
    assert ensemble.epsilon == 0.3
    assert ensemble.system is system
    assert content(again(ensemble, system=system)) == content(ensemble)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"selected": [0, 1]', '"selected": [7]', r"Prediction.selected\[0\] names the id 7"),
        ('"version": 2', '"version": 99', "version 99; this qpot reads"),
        ('"format": "qpot prediction"', '"format": "qpot opinion"', "holds 'qpot opinion'"),
        ('"selected"', '"elected"', "no whole saved prediction"),
        ('"CONVERGED"', '"DONE"', "no whole saved prediction"),
        ('"GeometricAction"', '"MyAction"', "the method MyAction, which is not one of"),
    ],
)
def test_an_older_file_is_checked_too(old: str, new: str, message: str, tmp_path: pathlib.Path) -> None:
    with np.load(OLDER / "prediction_2.npz") as stored:
        arrays = dict(stored)
    text = str(arrays["about"])
    assert old in text
    arrays["about"] = np.array(text.replace(old, new))
    np.savez_compressed(tmp_path / "changed.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        qpot.load(tmp_path / "changed.npz")


@pytest.mark.parametrize("name", ["prediction_2.npz", "ensemble.npz"])
def test_damaged_older_files_do_no_harm(name: str) -> None:
    whole = (OLDER / name).read_bytes()
    original = qpot.load(OLDER / name)
    for n in range(60):
        rng = np.random.default_rng(n)
        way = ("flip_bits", "truncate", "overwrite", "change_directory")[n % 4]
        found = outcome(original, DAMAGE[way](whole, rng), is_forged=False)
        assert found in ("refused", "equal"), (way, n, found)


def test_what_is_left_out_is_none_or_needed() -> None:
    needed = {name for wing, name in every() for f in table(wing)[name].fields.values() if f == LeftOut(needed=True)}
    assert needed == {"FieldSolution", "TrainingTrajectory"}
