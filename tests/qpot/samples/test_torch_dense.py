"""Chains of dense layers: formulas against torch.func, and what is left to PyTorch."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import qpot

torch: Any = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
nn: Any = torch.nn
functional: Any = torch.nn.functional

from random_chains import FUNCTIONS, MODULES, Applied, Own, convolutional, evaluated, problem  # noqa: E402

from qpot.samples import torch_dense  # noqa: E402
from qpot.samples.dense_sum import DenseSum  # noqa: E402
from qpot.samples.torch_heads import TorchLoss  # noqa: E402


def functions_of(total: qpot.ModelSum) -> Any:
    assert total.mean_gradient is not None
    return total.mean_gradient.__self__  # type: ignore[attr-defined]


def is_written_out(model: Any, loss: Any = functional.mse_loss, data: Any = None, **options: Any) -> bool:
    generator = torch.Generator().manual_seed(0)
    X, y = torch.randn(5, 3, generator=generator), torch.randn(5, 2, generator=generator)
    total = qpot.from_torch(model, loss, data or (X, y), **options)
    assert not any("differ from it" in note for note in total.notes)
    return isinstance(functions_of(total), DenseSum)


def both(model: Any, loss: Any, data: Any, decay: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The same sum, as it is usually made and by PyTorch alone."""
    with warnings.catch_warnings():
        # Sizes of targets that are broadcast, and reductions that will be renamed, are told by PyTorch.
        warnings.simplefilter("ignore", UserWarning)
        usual = qpot.from_torch(model, loss, data, weight_decay=decay)
        with monkeypatch.context() as patched:
            patched.setattr(torch_dense, "dense_sum", lambda functions: (None, ()))
            plain = qpot.from_torch(model, loss, data, weight_decay=decay)
    return usual, plain


@pytest.mark.parametrize("first", range(0, 12, 4))
def test_random_chains_agree_with_torch_func(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written_out = 0
    for seed in range(first, first + 4):
        model, loss, data, decay, rng = problem(seed)
        usual, plain = both(model, loss, data, decay, monkeypatch)
        assert usual.notes == plain.notes
        assert usual.kinks == plain.kinks
        written_out += isinstance(functions_of(usual), DenseSum)
        state = copy.deepcopy(rng)
        wanted = evaluated(plain, state)
        for name, found in evaluated(usual, rng).items():
            assert found.shape == wanted[name].shape
            assert np.abs(found - wanted[name]).max() <= 1e-11 * np.abs(wanted[name]).max(), (seed, name)
    assert written_out >= 2


@pytest.mark.parametrize("seed", range(4))
def test_random_convolutions_agree_with_torch_func(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, loss, data, decay, rng = convolutional(seed)
    usual, plain = both(model, loss, data, decay, monkeypatch)
    assert isinstance(functions_of(usual), DenseSum)
    wanted = evaluated(plain, copy.deepcopy(rng))
    for name, found in evaluated(usual, rng).items():
        assert np.abs(found - wanted[name]).max() <= 1e-11 * np.abs(wanted[name]).max(), name


def test_convolutions_of_other_kinds_are_left_to_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(5, 2, 5, 5, generator=generator), torch.randn(5, 2, generator=generator)
    others = (
        nn.Conv2d(2, 4, 2, groups=2),
        nn.Conv2d(2, 4, 3, padding="same"),
        nn.Conv2d(2, 4, 2, padding=1, padding_mode="circular"),
        nn.Sequential(nn.Conv2d(2, 4, 2), nn.AvgPool2d(2), nn.Tanh()),
        nn.Sequential(nn.Conv2d(2, 4, 2), nn.MaxPool2d(2)),
    )
    for other in others:
        width = other(data[0]).flatten(1).shape[1]
        assert not is_written_out(nn.Sequential(other, nn.Flatten(), nn.Linear(width, 2)), data=data)
    assert is_written_out(nn.Sequential(nn.Conv2d(2, 4, 2), nn.Flatten(), nn.Linear(64, 2)), data=data)


@pytest.mark.parametrize("k", range(len(MODULES)))
def test_modules_of_activations_are_known(k: int) -> None:
    assert is_written_out(nn.Sequential(nn.Linear(3, 4), MODULES[k](), nn.Linear(4, 2)))


@pytest.mark.parametrize("k", range(len(FUNCTIONS)))
def test_functions_in_a_forward_are_known(k: int) -> None:
    assert is_written_out(nn.Sequential(nn.Linear(3, 4), Applied(FUNCTIONS[k]), Own(4, 2, True)))


class Written(nn.Module):  # type: ignore[misc]
    """A network as many write it."""

    def __init__(self, after: Any = None) -> None:
        super().__init__()
        self.fc1, self.fc2, self.after = nn.Linear(3, 4), nn.Linear(4, 2), after

    def forward(self, x: Any) -> Any:
        x = torch.tanh(self.fc1(x.view(-1, 3)))
        x = self.fc2(x)
        return x if self.after is None else self.after(x, self)


def test_a_written_forward_is_known() -> None:
    assert is_written_out(Written())
    assert is_written_out(Written(lambda x, m: x * 2.0 - 1.0))
    # What follows the last layer and has no parameters belongs to the loss.
    assert is_written_out(Written(lambda x, m: x.softmax(1) + x))


def test_what_is_no_chain_is_left_to_torch() -> None:
    assert not is_written_out(Written(lambda x, m: m.fc2(torch.cat([x, x], 1))))
    assert not is_written_out(Written(lambda x, m: x * m.fc1.weight.sum()))
    assert not is_written_out(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)))
    assert not is_written_out(nn.Sequential(nn.Linear(3, 2), nn.PReLU()))
    layer = nn.Linear(2, 2)
    assert not is_written_out(nn.Sequential(nn.Linear(3, 2), layer, nn.Tanh(), layer))
    assert not is_written_out(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), dtype=torch.float32)
    assert not is_written_out(nn.Sequential(nn.Linear(3, 2), nn.Unflatten(1, (1, 2)), nn.Conv1d(1, 1, 1), nn.Flatten()))


def test_hooks_and_replaced_forwards_are_left_to_torch() -> None:
    hooked = nn.Linear(3, 2)
    hooked.register_forward_hook(_doubled)
    assert not is_written_out(hooked)
    assert not is_written_out(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    model[1].forward = torch.sin
    assert not is_written_out(model)
    assert is_written_out(nn.Sequential(nn.Linear(3, 2), nn.Tanh()))


def _doubled(module: Any, inputs: Any, outputs: Any) -> Any:
    return 2.0 * outputs


def test_unused_and_frozen_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Written()
    model.spare = nn.Parameter(torch.ones(2))
    model.fc1.requires_grad_(False)
    data = torch.randn(5, 3), torch.randn(5, 2)
    usual, plain = both(model, functional.mse_loss, data, 0.1, monkeypatch)
    functions = functions_of(usual)
    assert isinstance(functions, DenseSum)
    # The first layer is frozen, so that its outputs are the inputs of all others.
    assert len(functions.chain.layers) == 1
    wanted = evaluated(plain, np.random.default_rng(0))
    for name, found in evaluated(usual, np.random.default_rng(0)).items():
        assert np.abs(found - wanted[name]).max() <= 1e-12 * np.abs(wanted[name]).max()


def test_formulas_that_differ_from_torch_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from qpot.samples import torch_activations
    from qpot.samples.dense_activations import sine

    monkeypatch.setitem(torch_activations.MODULES, nn.Tanh, lambda module: sine)
    data = torch.randn(5, 3), torch.randn(5, 2)
    total = qpot.from_torch(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), functional.mse_loss, data)
    assert not isinstance(functions_of(total), DenseSum)
    assert any("differ from it by" in note for note in total.notes)


def test_known_losses_need_no_torch_and_others_only_for_themselves() -> None:
    data = torch.randn(5, 3), torch.randn(5, 2)
    for loss, known in ((nn.MSELoss(), True), (nn.HuberLoss(), False), (lambda a, b: (a - b).abs().sum(), False)):
        functions = functions_of(qpot.from_torch(nn.Linear(3, 2), loss, data))
        assert isinstance(functions, DenseSum)
        assert isinstance(functions.loss, TorchLoss) is not known


@pytest.mark.parametrize("loss", [functional.mse_loss, functional.huber_loss])
def test_pieces_and_pickled_copies_give_the_same(loss: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 2))
    data = torch.randn(17, 3), torch.randn(17, 2)
    usual = qpot.from_torch(model, loss, data, weight_decay=0.1)
    pieces = qpot.from_torch(model, loss, data, weight_decay=0.1, memory=2000.0)
    again = pickle.loads(pickle.dumps(functions_of(usual)))
    wanted = evaluated(usual, np.random.default_rng(0))
    for name, found in evaluated(pieces, np.random.default_rng(0)).items():
        assert np.abs(found - wanted[name]).max() <= 1e-13 * np.abs(wanted[name]).max()
    x = np.random.default_rng(1).normal(size=(3, usual.dimension))
    assert (again.hessian(x) == functions_of(usual).hessian(x)).all()
    assert (again.losses(x) == functions_of(usual).losses(x)).all()


def test_points_far_away_are_told_and_not_warned_about() -> None:
    data = torch.ones(4, 3), torch.ones(4, 2)
    total = qpot.from_torch(nn.Sequential(nn.Linear(3, 2), nn.SiLU()), functional.mse_loss, data)
    with pytest.raises(ValueError, match="NaN or infinity"):
        total.losses_at(np.full(total.dimension, 1e200))
