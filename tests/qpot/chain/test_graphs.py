"""networkx in and out, disconnectivity trees, the training time diagram."""

from __future__ import annotations

import inspect
import io
import json
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import sparse
from strategies_chain import cost_matrices, wide_costs

import qpot
from qpot.chain.graphs import as_graph, disconnectivity_tree, from_graph, loss_costs
from qpot.chain.training_time import training_time_diagram

inf = np.inf
E1 = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])


def dense(costs: Any) -> Any:
    full = np.full(costs.shape, inf)
    np.minimum.at(full, costs.coords, costs.data)
    np.fill_diagonal(full, 0)
    return full


@settings(deadline=None, max_examples=30)
@given(cost_matrices(values=wide_costs))
def test_graphml_and_json_round_trips_are_exact(costs: Any) -> None:
    graph = as_graph(costs)
    assert list(graph.nodes) == list(range(len(costs)))
    buffer = io.BytesIO()
    nx.write_graphml(graph, buffer)
    buffer.seek(0)
    from_xml, nodes = from_graph(nx.read_graphml(buffer))
    np.testing.assert_array_equal(dense(from_xml), costs)
    assert [int(node) for node in nodes] == list(range(len(costs)))
    # The key of the edges has to be named since networkx 3.4, and could not be before.
    named = {"edges": "edges"} if "edges" in inspect.signature(nx.node_link_data).parameters else {}
    text = json.dumps(nx.node_link_data(graph, **named))
    from_json, _ = from_graph(nx.node_link_graph(json.loads(text), **named))
    np.testing.assert_array_equal(dense(from_json), costs)


def test_ids_do_not_move_with_the_order_of_the_file() -> None:
    graph = nx.DiGraph([("2", "10"), ("10", "2")])
    graph.add_nodes_from(str(i) for i in range(12))
    nx.set_edge_attributes(graph, 1.0, "cost")
    assert from_graph(graph)[1] == tuple(str(i) for i in range(12))


def test_parallel_routes_and_errors_travel() -> None:
    costs = sparse.coo_array(([1.0, 3.0, 2.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    graph = as_graph(costs)
    assert graph.is_multigraph()
    back, _ = from_graph(graph)
    assert sorted(back.data.tolist()) == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(
        qpot.stationary_distribution(back, 1.0), qpot.stationary_distribution(costs, 1.0), rtol=1e-15
    )
    with_errors = as_graph(SimpleNamespace(values=E1, errors=E1 / 10))
    assert with_errors.edges[0, 2] == {"cost": 4.0, "error": 0.4}


@pytest.mark.parametrize(
    ("graph", "match"),
    [
        (nx.Graph([(0, 1)]), "directed"),
        ("graph", "directed"),
        (nx.DiGraph(), "no nodes"),
        (nx.DiGraph([(0, 1)]), r"edge 0 -> 1 has cost=None"),
        (nx.DiGraph([(0, 1, {"cost": -1.0})]), r"cost=-1.0"),
        (nx.DiGraph([(0, 1, {"cost": float("nan")})]), r"cost=nan"),
        (nx.DiGraph([(0, 1, {"cost": "much"})]), r"cost='much'"),
        (nx.DiGraph([(0, 0, {"cost": 1.0})]), "itself"),
    ],
)
def test_bad_graphs_are_named(graph: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        from_graph(graph)


def test_tree_of_the_loss_has_its_saddles_as_levels() -> None:
    losses = [0.0, 0.3, 0.5, 0.2]
    tree = disconnectivity_tree(loss_costs(losses, [(0, 1, 1.0), (1, 2, 0.6), (2, 3, 2.0), (0, 2, 1.5), (1, 1, 7.0)]))
    np.testing.assert_allclose(tree.bottoms, losses, atol=1e-15)
    assert sorted(tree.levels[4:]) == pytest.approx([0.6, 1.0, 2.0], abs=1e-14)


def test_tree_of_a_chain_without_detailed_balance() -> None:
    """All three minima of the loop are joined at one height: C of each above its own W."""
    tree = disconnectivity_tree([[0, 1, 2.5], [3, 0, 1.2], [0.7, 3, 0]])
    np.testing.assert_allclose(tree.bottoms, [0.2, 0.0, 0.5], atol=1e-15)
    np.testing.assert_allclose(tree.levels[3:], [1.2], rtol=1e-15)
    np.testing.assert_allclose(tree.bottoms + np.array([1.0, 1.2, 0.7]), 1.2, rtol=1e-15)


def test_saddle_objects_are_read() -> None:
    saddle = SimpleNamespace(connects=(0, 1), loss=2.0)
    np.testing.assert_array_equal(loss_costs([0.0, 0.5], [saddle]).toarray(), [[0, 2], [1.5, 0]])


@pytest.mark.parametrize(
    ("saddles", "match"),
    [
        ([(0, 1, 0.1)], "not below those of the minima"),
        ([(0, 2, 1.0)], "saddles must be the id"),
        ([(0, 1, float("nan"))], "nan"),
    ],
)
def test_bad_saddles_are_named(saddles: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        loss_costs([0.0, 0.5], saddles)


def test_diagram_from_exponents_and_from_probabilities() -> None:
    rates, steps = [0.05, 0.1, 0.2], np.geomspace(1e2, 1e12, 6)
    exponents = training_time_diagram(E1, learning_rates=rates, steps=steps, start=0)
    law = training_time_diagram(E1, learning_rates=rates, steps=steps, start=0, prefactors=np.ones((3, 3)))
    assert exponents.state.shape == law.state.shape == (6, 3)
    assert law.probability is not None
    sure = law.probability.max(axis=2) > 0.99
    assert sure.sum() > 6
    assert set(law.state[sure]) == {0, 1}
    np.testing.assert_array_equal(law.state[sure], exponents.state[sure])
    # epsilon log(time) is 0.2 log(2e4) = 1.98 > V(0, 1) = 1; batches of two halve the noise, and it is 0.99
    for batch_size, state in ((1, 1), (2, 0)):
        options: dict[str, Any] = {"learning_rates": [0.2], "steps": [1e5], "start": 0, "batch_size": batch_size}
        assert training_time_diagram(E1, **options).state.tolist() == [[state]]


def test_diagram_shows_ties() -> None:
    costs = [[0, 1, 1], [2, 0, 2], [2, 2, 0]]
    diagram = training_time_diagram(costs, learning_rates=[0.1], steps=[1e7], start=0)
    assert diagram.state.tolist() == [[-1]]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"learning_rates": [0.0]}, "learning_rates must be positive"),
        ({"steps": [-1.0]}, "steps must be positive"),
        ({"steps": []}, "steps must be positive"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"start": 5}, "start must be the id"),
    ],
)
def test_bad_diagram_input_is_named(arguments: dict[str, Any], match: str) -> None:
    given_arguments: dict[str, Any] = {"learning_rates": [0.1], "steps": [10.0], "start": 0} | arguments
    with pytest.raises(ValueError, match=match):
        training_time_diagram(E1, **given_arguments)
