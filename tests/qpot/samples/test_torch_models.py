"""What is special about PyTorch modules: modes, tied and frozen parameters, data sets, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot

torch: Any = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
nn: Any = torch.nn
mse = nn.functional.mse_loss


def regression(samples: int = 5, features: int = 3) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(samples, features, generator=generator), torch.randn(samples, 1, generator=generator)


def differences(total: qpot.FiniteSum, x: Any, h: float = 1e-6) -> Any:
    steps = np.eye(total.dimension)
    return np.stack([(total.losses_at(x + h * e) - total.losses_at(x - h * e)) / (2 * h) for e in steps], axis=-1)


class Tied(nn.Module):  # type: ignore[misc]
    """Encoder and decoder share a weight; a frozen scale and a buffer take part."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.decoder.weight = self.encoder.weight
        self.scale = nn.Parameter(torch.tensor(2.0), requires_grad=False)
        self.register_buffer("shift", torch.tensor([0.5, 0.0, -0.5]))

    def forward(self, x: Any) -> Any:
        return self.scale * self.decoder(torch.tanh(self.encoder(x))) + self.shift


def test_tied_frozen_and_buffers() -> None:
    model = Tied()
    X, _ = regression()
    total = qpot.from_torch(model, mse, (X, X))
    assert total.layout.names == ("encoder.weight", "encoder.bias")
    assert dict(total.layout.tied) == {"decoder.weight": "encoder.weight"}
    assert total.layout.frozen == ("scale",)
    x = np.random.default_rng(0).normal(size=(2, total.dimension))
    assert np.abs(total.gradients_at(x) - differences(total, x)).max() < 1e-8
    moved = total.model_at(x[0]).double()
    assert moved.decoder.weight is moved.encoder.weight
    assert np.isclose(mse(moved(X.double()), X.double()).item(), total.loss(x[:1])[0], rtol=1e-6)
    assert float(moved.scale) == 2.0


def test_the_module_is_neither_changed_nor_referred_to() -> None:
    model = nn.Linear(3, 1)
    before = {name: p.clone() for name, p in model.named_parameters()}
    total = qpot.from_torch(model, mse, regression())
    start = total.loss(total.initial_point)[0]
    state = torch.random.get_rng_state()
    total.gradient(np.ones((1, total.dimension)))
    assert all(torch.equal(before[name], p) and p.dtype == torch.float32 for name, p in model.named_parameters())
    with torch.no_grad():
        model.weight.zero_()
    assert total.loss(total.initial_point)[0] == start
    assert torch.equal(state, torch.random.get_rng_state())
    assert np.allclose(total.layout.restore(total.initial_point)["weight"], before["weight"].detach().numpy())


def test_training_a_copy_descends_the_same_loss() -> None:
    """One step of torch.optim.SGD with its weight decay is one full-batch step on the finite sum."""
    X, y = regression()
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(inplace=True), nn.Linear(2, 1)).double()
    total = qpot.from_torch(model, mse, (X, y), weight_decay=0.1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2, weight_decay=0.1)
    mse(model(X.double()), y.double()).backward()
    optimiser.step()
    after = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()
    assert np.allclose(total.initial_point - 0.2 * total.gradient(total.initial_point)[0], after, rtol=0, atol=1e-14)


def test_convolutions_normalisation_in_evaluation_mode_and_class_targets() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 3)
    )
    model.eval()
    images, labels = torch.randn(4, 1, 4, 4), torch.tensor([0, 2, 1, 1])
    total = qpot.from_torch(model, nn.CrossEntropyLoss(), (images, labels))
    assert np.abs(total.gradients_at(total.initial_point) - differences(total, total.initial_point)).max() < 1e-8
    expected = nn.functional.cross_entropy(model.double()(images.double()), labels)
    assert np.isclose(total.loss(total.initial_point)[0], float(expected.detach()), rtol=1e-12)


def test_data_sets() -> None:
    X, y = regression()
    model = nn.Linear(3, 1)

    class Pairs(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, k: int) -> Any:
            return X[k], y[k]

    sums = [
        qpot.from_torch(model, mse, dataset)
        for dataset in ((X, y), (X.numpy(), y.numpy()), torch.utils.data.TensorDataset(X, y), Pairs())
    ]
    point = np.ones((1, 4))
    assert all(np.array_equal(total.losses_at(point), sums[0].losses_at(point)) for total in sums[1:])


def test_several_inputs() -> None:
    class Both(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 1), nn.Linear(2, 1)

        def forward(self, x: Any, z: Any) -> Any:
            return self.first(x) * self.second(z)

    model = Both()
    X, y = regression()
    other = torch.ones(5, 2)
    total = qpot.from_torch(model, mse, (X, other, y))
    assert np.isclose(total.loss(total.initial_point)[0], float(mse(model(X, other), y).detach()), rtol=1e-5)


def test_single_precision_is_a_choice() -> None:
    model, data = nn.Linear(3, 1), regression()
    single, double = (qpot.from_torch(model, mse, data, dtype=t) for t in (torch.float32, torch.float64))
    x = np.full((1, 4), 0.3)
    assert single.gradient(x).dtype == np.float64
    gap = np.abs(single.gradient(x) - double.gradient(x)).max()
    assert 0.0 < gap < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_with_data_on_the_processor() -> None:
    model, (X, y) = nn.Linear(3, 1), regression()
    here = qpot.from_torch(model, mse, (X, y))
    x = np.full((3, 4), 0.3)
    for data in ((X, y), (X.cuda(), y.cuda())):
        there = qpot.from_torch(model, mse, data, device="cuda", memory=4000.0)
        assert np.allclose(there.gradients_at(x), here.gradients_at(x), rtol=0, atol=1e-12)


class Noisy(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Any) -> Any:
        return nn.functional.dropout(self.layer(x), 0.5, training=True)


def weighted(outputs: Any, targets: Any) -> Any:
    return nn.functional.cross_entropy(outputs, targets, weight=torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64))


def across(outputs: Any, targets: Any) -> Any:
    return ((outputs - targets) ** 2).mean() + outputs.var(correction=0)


X, Y = regression()
LABELS = torch.tensor([0, 1, 2, 1, 0])
BAD: list[tuple[Any, Any, Any, str]] = [
    (
        nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1)),
        mse,
        (X, Y),
        r"1 \(BatchNorm1d\) is in training mode.*model.eval",
    ),
    (nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.5)), mse, (X, Y), r"1 \(Dropout\) is random.*model.eval"),
    (nn.LSTM(3, 1, num_layers=2, dropout=0.1), mse, (X, Y), r"model \(LSTM\) is random"),
    (Noisy(), mse, (X, Y), "two outputs for the same input"),
    (nn.Linear(3, 3), weighted, (X, LABELS), "no mean over samples. Class weights"),
    (nn.Linear(3, 1), across, (X, Y), "compare samples with each other"),
    (nn.Linear(3, 2), lambda a, b: (a - b) ** 2, (X, Y), r"returned shape \(1, 2\) for one sample"),
    (nn.Linear(3, 1), mse, (X[:0], Y[:0]), "dataset is empty"),
    (nn.Linear(3, 1), mse, (X, Y[:3]), r"have \[5, 3\] rows"),
    (nn.Linear(3, 1), mse, (X,), "takes inputs and targets"),
    (nn.Linear(3, 1), mse, (torch.where(X[2, 1] == X, torch.nan, X), Y), "inputs of sample 2 are NaN"),
    (nn.Linear(3, 1), mse, (X, torch.where(Y[3] == Y, torch.inf, Y)), "targets of sample 3 are NaN or infinite"),
    (nn.Linear(3, 1), mse, "data", "must be .inputs, targets."),
    (nn.Linear(3, 1), lambda a, b: (a - b).mean().log(), (X, torch.full((5, 1), 1e9)), "NaN or infinity for sample 0"),
    (nn.Linear(3, 1).requires_grad_(False), mse, (X, Y), "no parameter with requires_grad=True"),
    (lambda x: x, mse, (X, Y), "must be a torch.nn.Module"),
    (nn.Linear(3, 1), None, (X, Y), "loss_fn must be a function"),
]


@pytest.mark.parametrize(("model", "loss", "dataset", "message"), BAD)
def test_what_is_no_finite_sum_is_refused(model: Any, loss: Any, dataset: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.from_torch(model, loss, dataset)


@pytest.mark.parametrize("weight_decay", [-1.0, np.nan, "a"])
def test_weight_decay_is_a_number(weight_decay: Any) -> None:
    with pytest.raises(ValueError, match="weight_decay"):
        qpot.from_torch(nn.Linear(3, 1), mse, (X, Y), weight_decay=weight_decay)


def test_class_weights_of_a_loss_module() -> None:
    # its buffers are float32, the computation is not
    torch.manual_seed(0)
    X, y = torch.randn(8, 3), torch.arange(8) % 2
    net = torch.nn.Linear(3, 2)
    loss = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]), reduction="sum")
    total = qpot.from_torch(net, loss, (X, y))
    plain = qpot.from_torch(net, torch.nn.CrossEntropyLoss(), (X, y))
    weights = np.where(y.numpy() == 1, 3.0, 1.0)
    point = total.initial_point[None]
    np.testing.assert_allclose(total.losses_at(point), weights * plain.losses_at(point), rtol=1e-12)
    assert loss.weight.dtype is torch.float32
    with pytest.raises(ValueError, match="no mean over samples"):
        qpot.from_torch(net, torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0])), (X, y))
