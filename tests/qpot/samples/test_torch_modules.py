"""Common PyTorch modules and losses, each held against a plain loop, or refused in a sentence that names it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qpot

torch: Any = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
nn: Any = torch.nn
functional: Any = torch.nn.functional
mse = functional.mse_loss
parametrizations: Any = torch.nn.utils.parametrizations
N = 4


class Recurrent(nn.Module):  # type: ignore[misc]
    """The last output of a recurrent module, or the last state of a cell in a loop."""

    def __init__(self, inner: Any, width: int = 2) -> None:
        super().__init__()
        self.inner, self.last = inner, nn.Linear(width, 1)

    def forward(self, x: Any) -> Any:
        if not isinstance(self.inner, nn.RNNCellBase):
            return self.last(self.inner(x)[0][:, -1])
        state = None
        for t in range(x.shape[1]):
            state = self.inner(x[:, t], state)
        return self.last(state[0] if isinstance(state, tuple) else state)


class Attention(nn.Module):  # type: ignore[misc]
    """Self-attention and a mean over the sequence."""

    def __init__(self, weights: bool, **options: Any) -> None:
        super().__init__()
        self.inner, self.last, self.weights = nn.MultiheadAttention(4, 2, **options), nn.Linear(4, 1), weights

    def forward(self, x: Any) -> Any:
        return self.last(self.inner(x, x, x, need_weights=self.weights)[0].mean(1))


class Words(nn.Module):  # type: ignore[misc]
    """An embedding or a bag, and a linear layer."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.last = inner, nn.Linear(2, 1)

    def forward(self, x: Any) -> Any:
        h = self.inner(x)
        return self.last(h.mean(1) if h.dim() == 3 else h)


class With(nn.Module):  # type: ignore[misc]
    """A linear layer and a function of its output and itself."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(3, 1), function
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Any) -> Any:
        return self.function(self.layer(x), self)


def straight_through(h: Any, module: Any) -> Any:
    return h + (torch.sign(h) - h).detach()


def counting(h: Any, module: Any) -> Any:
    module.calls += 1
    return h + module.calls


def through_numpy(h: Any, module: Any) -> Any:
    return h * (1.0 + float(np.ones(1)[0] * (h.detach().numpy() > -1e9).all()))


def between(inner: Any) -> Any:
    return nn.Sequential(nn.Linear(3, 4), inner, nn.Linear(4, 1))


def image(*modules: Any, out: int) -> Any:
    return nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 2), *modules, nn.Flatten(), nn.Linear(out, 1))


def data(kind: str) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"flat": (N, 3), "image": (N, 16), "sequence": (N, 4, 3), "wide": (N, 3, 4)}
    if kind == "words":
        inputs = torch.randint(0, 5, (N, 3), generator=generator)
    else:
        inputs = torch.randn(shapes[kind], generator=generator)
    return inputs, torch.randn(N, 1, generator=generator)


ACTIVATIONS = """ReLU LeakyReLU ELU CELU SELU GELU SiLU Mish Softplus Softsign Tanh Sigmoid Hardtanh Hardswish ReLU6
LogSigmoid Tanhshrink Softshrink Hardshrink PReLU"""


def activation(name: str) -> Callable[[], Any]:
    return lambda: between(getattr(nn, name)())


WORK: dict[str, tuple[Callable[[], Any], str]] = {name: (activation(name), "flat") for name in ACTIVATIONS.split()}
WORK |= {
    "RReLU in eval mode": (lambda: between(nn.RReLU()).eval(), "flat"),
    "PReLU per channel": (lambda: between(nn.PReLU(4)), "flat"),
    "GLU": (lambda: nn.Sequential(nn.Linear(3, 4), nn.GLU(), nn.Linear(2, 1)), "flat"),
    "Softmax": (lambda: between(nn.Softmax(1)), "flat"),
    "Dropout in eval mode": (lambda: between(nn.Dropout()).eval(), "flat"),
    "BatchNorm1d in eval mode": (lambda: between(nn.BatchNorm1d(4)).eval(), "flat"),
    "LayerNorm": (lambda: between(nn.LayerNorm(4)), "flat"),
    "RMSNorm": (lambda: between(nn.RMSNorm(4)), "flat"),
    "GroupNorm": (lambda: between(nn.GroupNorm(1, 4)), "flat"),
    "weight_norm": (lambda: parametrizations.weight_norm(nn.Linear(3, 1)), "flat"),
    "spectral_norm in eval mode": (lambda: between(parametrizations.spectral_norm(nn.Linear(4, 4))).eval(), "flat"),
    "orthogonal": (lambda: between(parametrizations.orthogonal(nn.Linear(4, 4))), "flat"),
    "numbers that leave PyTorch": (lambda: With(through_numpy), "flat"),
    "Conv1d": (
        lambda: nn.Sequential(nn.Unflatten(1, (1, 16)), nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(28, 1)),
        "image",
    ),
    "Conv2d": (lambda: image(nn.Tanh(), out=18), "image"),
    "Conv3d": (
        lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 2, 4)), nn.Conv3d(1, 2, 2), nn.Flatten(), nn.Linear(6, 1)),
        "image",
    ),
    "ConvTranspose2d": (lambda: image(nn.ConvTranspose2d(2, 1, 2), out=16), "image"),
    "MaxPool2d": (lambda: image(nn.MaxPool2d(2), out=2), "image"),
    "AvgPool2d": (lambda: image(nn.AvgPool2d(2), out=2), "image"),
    "AdaptiveAvgPool2d": (lambda: image(nn.AdaptiveAvgPool2d(1), out=2), "image"),
    "BatchNorm2d in eval mode": (lambda: image(nn.BatchNorm2d(2), out=18).eval(), "image"),
    "InstanceNorm2d": (lambda: image(nn.InstanceNorm2d(2, affine=True), out=18), "image"),
    "InstanceNorm2d with statistics in eval mode": (
        lambda: image(nn.InstanceNorm2d(2, track_running_stats=True), out=18).eval(),
        "image",
    ),
    "Upsample": (lambda: image(nn.Upsample(scale_factor=2, mode="bilinear"), out=72), "image"),
    "ReflectionPad2d": (lambda: image(nn.ReflectionPad2d(1), out=50), "image"),
    "Embedding": (lambda: Words(nn.Embedding(5, 2)), "words"),
    "EmbeddingBag": (lambda: Words(nn.EmbeddingBag(5, 2)), "words"),
    "RNN": (lambda: Recurrent(nn.RNN(3, 2, batch_first=True)), "sequence"),
    "RNN with ReLU": (lambda: Recurrent(nn.RNN(3, 2, nonlinearity="relu", batch_first=True)), "sequence"),
    "GRU": (lambda: Recurrent(nn.GRU(3, 2, batch_first=True)), "sequence"),
    "GRU both ways": (lambda: Recurrent(nn.GRU(3, 2, 2, bidirectional=True, batch_first=True), 4), "sequence"),
    "LSTM": (lambda: Recurrent(nn.LSTM(3, 2, batch_first=True)), "sequence"),
    "LSTM with a projection": (
        lambda: Recurrent(nn.LSTM(3, 2, proj_size=1, batch_first=True, bias=False), 1),
        "sequence",
    ),
    "RNNCell": (lambda: Recurrent(nn.RNNCell(3, 2)), "sequence"),
    "GRUCell": (lambda: Recurrent(nn.GRUCell(3, 2)), "sequence"),
    "LSTMCell": (lambda: Recurrent(nn.LSTMCell(3, 2)), "sequence"),
    "MultiheadAttention": (lambda: Attention(True, batch_first=True), "wide"),
    "MultiheadAttention without weights": (lambda: Attention(False, batch_first=True).eval(), "wide"),
    "TransformerEncoderLayer": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(4, 2, 4, batch_first=True), nn.Flatten(), nn.Linear(12, 1)
        ).eval(),
        "wide",
    ),
}
SLOW = {"numbers that leave PyTorch"}
PLAIN_ONLY = {"PReLU", "PReLU per channel", "weight_norm", "EmbeddingBag", "RReLU in eval mode"}


def plain(model: Any, loss: Any, inputs: Any, targets: Any, total: Any, point: Any) -> tuple[Any, Any]:
    """Losses (N,) and gradients (N, d) by a loop over samples."""
    net = copy.deepcopy(model).double()
    loss = copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss
    parameters = [net.get_parameter(name) for name in total.layout.names]
    with torch.no_grad():
        for parameter, value in zip(parameters, total.layout.restore(point).values(), strict=True):
            parameter.copy_(torch.as_tensor(value))
    inputs, targets = (t.double() if t.is_floating_point() else t for t in (inputs, targets))
    losses, gradients = [], []
    for k in range(len(inputs)):
        value = loss(net(inputs[k : k + 1]), targets[k : k + 1]).reshape(())
        parts = torch.autograd.grad(value, parameters)
        losses.append(float(value.detach()))
        gradients.append(torch.cat([part.reshape(-1) for part in parts]).numpy())
    return np.array(losses), np.array(gradients)


def hold(model: Any, loss: Any, inputs: Any, targets: Any) -> Any:
    """The sum of a model, after losses, gradients, covariance and Hessian have been compared with loops and differences."""
    total: Any = qpot.from_torch(model, loss, (inputs, targets))
    rng = np.random.default_rng(3)
    x = total.initial_point + 0.3 * rng.normal(size=(N, total.dimension))  # As many points as samples.
    known = [plain(model, loss, inputs, targets, total, point) for point in x]
    losses, gradients = (np.stack(part) for part in zip(*known, strict=True))
    largest = np.abs(gradients).max()
    assert np.abs(total.losses_at(x) - losses).max() < 1e-10 * np.abs(losses).max()
    for n in (1, 2, N):
        assert np.abs(total.gradients_at(x[:n]) - gradients[:n]).max() < 1e-10 * largest
        assert np.abs(total.gradient(x[:n]) - gradients[:n].mean(1)).max() < 1e-10 * largest
    centred = gradients - gradients.mean(1, keepdims=True)
    expected = np.einsum("pni,pnj->pij", centred, centred) / N
    assert np.abs(qpot.System.from_finite_sum(total).covariance(x) - expected).max() < 1e-10 * np.abs(expected).max()
    v, h = rng.normal(size=total.dimension), 1e-5
    sides = [plain(model, loss, inputs, targets, total, x[0] + s * h * v)[1].mean(0) for s in (1.0, -1.0)]
    turned = (sides[0] - sides[1]) / (2.0 * h)
    scale = np.abs(turned).max() + np.abs(gradients).max()
    # Differences of this step are right to about 1e-6 near the singular points of norms.
    assert np.abs(total.hessian_vector_product(x[:1], v)[0] - turned).max() < 1e-4 * scale
    assert np.abs(total.hessian(x[:2])[0] @ v - turned).max() < 1e-4 * scale
    return total


@pytest.mark.parametrize("name", WORK)
def test_a_module_agrees_with_a_loop(name: str) -> None:
    torch.manual_seed(0)
    make, kind = WORK[name]
    total = hold(make(), mse, *data(kind))
    slow = [note for note in total.notes if "one sample at a time" in note]
    assert bool(slow) == (name in SLOW)
    if name in PLAIN_ONLY:
        assert "written out" in total.notes[0]
        assert total.notes[0] in repr(total)


CLASSES, NUMBERS, SIGNS = (
    torch.arange(N) % 3,
    torch.linspace(-1, 1, N)[:, None],
    torch.tensor([[1.0], [0.0], [0.0], [1.0]]),
)
SHARES = torch.softmax(torch.linspace(-1, 2, 3 * N).reshape(N, 3), 1)
WEIGHTS = torch.tensor([1.0, 2.0, 3.0])
LOSSES: dict[str, tuple[Any, Any, int]] = {
    "cross entropy": (nn.CrossEntropyLoss(), CLASSES, 3),
    "cross entropy, smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), CLASSES, 3),
    "cross entropy of shares": (nn.CrossEntropyLoss(), SHARES, 3),
    "cross entropy with weights": (nn.CrossEntropyLoss(weight=WEIGHTS, reduction="sum"), CLASSES, 3),
    "cross entropy with ignored targets": (nn.CrossEntropyLoss(ignore_index=2, reduction="sum"), CLASSES, 3),
    "negative log likelihood": (lambda o, t: functional.nll_loss(o.log_softmax(1), t), CLASSES, 3),
    "mean square": (nn.MSELoss(), SHARES, 3),
    "sum of squares": (nn.MSELoss(reduction="sum"), SHARES, 3),
    "absolute": (nn.L1Loss(), NUMBERS, 1),
    "Huber": (nn.HuberLoss(), NUMBERS, 1),
    "smooth absolute": (nn.SmoothL1Loss(), NUMBERS, 1),
    "logits": (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0)), SIGNS, 1),
    "Poisson": (nn.PoissonNLLLoss(), NUMBERS + 2.0, 1),
    "soft margin": (nn.SoftMarginLoss(), 2.0 * SIGNS - 1.0, 1),
    "Kullback-Leibler": (lambda o, t: functional.kl_div(o.log_softmax(1), t, reduction="batchmean"), SHARES, 3),
    "Gaussian": (lambda o, t: functional.gaussian_nll_loss(o[:, :1], t, functional.softplus(o[:, 1:])), NUMBERS, 2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_agrees_with_a_loop(name: str) -> None:
    torch.manual_seed(0)
    loss, targets, outputs = LOSSES[name]
    hold(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs)), loss, data("flat")[0], targets)


class Padded(nn.Module):  # type: ignore[misc]
    """A row of the weight that is used and gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 10).reshape(5, 2))

    def forward(self, x: Any) -> Any:
        return functional.embedding(x, self.weight, padding_idx=int(data("words")[0][0, 0]))


def nan_gradient(h: Any, module: Any) -> Any:
    return torch.where(h < 1e9, h, (h - 1e9).sqrt())


REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "BatchNorm inside": (
        lambda: nn.Sequential(between(nn.BatchNorm1d(4))),
        "flat",
        r"0\.1 \(BatchNorm1d\) is in training",
    ),
    "BatchNorm without statistics": (
        lambda: between(nn.BatchNorm1d(4, track_running_stats=False)).eval(),
        "flat",
        "no running statistics",
    ),
    "InstanceNorm": (
        lambda: image(nn.InstanceNorm2d(2, track_running_stats=True), out=18),
        "image",
        "tracks running statistics in training mode",
    ),
    "spectral_norm": (lambda: between(parametrizations.spectral_norm(nn.Linear(4, 4))), "flat", "power iteration"),
    "weight_norm of old": (lambda: nn.utils.weight_norm(nn.Linear(3, 1)), "flat", "parametrizations.weight_norm"),
    "functional dropout": (
        lambda: With(lambda h, m: functional.dropout(h)),
        "flat",
        r"random numbers, in model \(With\)",
    ),
    "dropout of a GRU": (lambda: Recurrent(nn.GRU(3, 2, 2, dropout=0.1)), "sequence", r"inner \(GRU\) is random"),
    "GRU, batch second": (lambda: Recurrent(nn.GRU(3, 2)), "sequence", r"inner \(GRU\): pass batch_first=True"),
    "a memory": (lambda: With(counting), "flat", "changes 'calls' whenever it is called"),
    "a decision": (lambda: With(lambda h, m: h if h.sum() > 0 else 2 * h), "flat", "depends on the other samples"),
    "straight through": (lambda: With(straight_through), "flat", "gradient with respect to 'layer.weight' is not that"),
    ".item()": (
        lambda: With(lambda h, m: h * m.layer.bias.sum().item()),
        "flat",
        "'layer.bias' is not that of the loss",
    ),
    "NaN gradient": (lambda: With(nan_gradient), "flat", "gradient with respect to 'layer.weight' is NaN"),
    "padding_idx": (lambda: Words(nn.Embedding(5, 2, padding_idx=0)), "words", "has padding_idx=0"),
    "functional padding_idx": (lambda: Words(Padded()), "words", "'inner.weight' is not that of the loss"),
    "max_norm": (lambda: Words(nn.Embedding(5, 2, max_norm=1.0)), "words", "has max_norm=1.0"),
    "sparse": (lambda: Words(nn.Embedding(5, 2, sparse=True)), "words", "has sparse=True"),
    "frequencies": (lambda: Words(nn.Embedding(5, 2, scale_grad_by_freq=True)), "words", "scale_grad_by_freq"),
    "lazy": (lambda: nn.LazyLinear(1), "flat", "'weight' has no shape yet"),
    "complex": (lambda: nn.Linear(3, 1, dtype=torch.complex64), "flat", "must be real"),
    "rounded": (
        lambda: With(lambda h, m: h.float()),
        "flat",
        "returns torch.float32 though everything is .* torch.float64",
    ),
    "several outputs": (lambda: nn.LSTM(3, 1, batch_first=True), "sequence", "The model returns no tensor"),
    "one size of batches": (lambda: With(lambda h, m: h.view(N, 1)), "flat", r"fails in model \(With\) for one sample"),
    "another number of inputs": (lambda: nn.Linear(2, 1), "flat", r"fails in model \(Linear\).*cannot be multiplied"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning", "ignore:Lazy modules:UserWarning")
def test_a_module_without_a_loss_for_each_sample_is_refused_in_a_sentence(name: str) -> None:
    torch.manual_seed(0)
    make, kind, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        qpot.from_torch(make(), mse, data(kind))


def own_weights(outputs: Any, targets: Any) -> Any:
    return functional.cross_entropy(outputs, targets, weight=WEIGHTS, reduction="sum")


def random(outputs: Any, targets: Any) -> Any:
    return (outputs - targets * torch.rand(1)).square().mean()


REFUSED_LOSSES: dict[str, tuple[Any, Any, int, str]] = {
    "weights of another type": (own_weights, CLASSES, 3, r"weight.to\(outputs.dtype\)"),
    "class weights": (nn.CrossEntropyLoss(weight=WEIGHTS), CLASSES, 3, "no mean over samples"),
    "ignored targets": (nn.CrossEntropyLoss(ignore_index=2), CLASSES, 3, "sample 2 alone is nan"),
    "classes out of range": (nn.CrossEntropyLoss(), CLASSES, 2, "Target 2 is out of bounds. Classes"),
    "classes as a column": (nn.CrossEntropyLoss(), CLASSES[:, None], 3, r"Classes are integers of shape \(N,\)"),
    "targets that are broadcast": (nn.MSELoss(), NUMBERS[:, 0], 1, "broadcast against each other"),
    "no second derivative": (nn.MultiMarginLoss(), CLASSES, 3, "no second derivative in PyTorch"),
    "float": (lambda o, t: float((o - t).mean()), NUMBERS, 1, "loss_fn returned float"),
    "detached": (lambda o, t: (o.detach() - t).square().mean(), NUMBERS, 1, "is not that of the loss"),
    "random": (random, NUMBERS, 1, "gives two losses for the same sample"),
}


@pytest.mark.parametrize("name", REFUSED_LOSSES)
@pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")
def test_a_loss_that_is_no_mean_over_samples_is_refused_in_a_sentence(name: str) -> None:
    torch.manual_seed(0)
    loss, targets, outputs, message = REFUSED_LOSSES[name]
    with pytest.raises(ValueError, match=message):
        qpot.from_torch(nn.Linear(3, outputs), loss, (data("flat")[0], targets))


def test_a_frozen_embedding_may_have_padding() -> None:
    words = nn.Embedding(5, 2, padding_idx=0)
    words.weight.requires_grad_(False)
    assert qpot.from_torch(Words(words), mse, data("words")).layout.frozen == ("inner.weight",)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kinks_are_named(dtype: Any) -> None:
    inputs, targets = data("flat")
    for inner, names in ((nn.ReLU(), ("relu",)), (nn.GELU(), ()), (nn.Hardtanh(), ("hardtanh",))):
        assert qpot.from_torch(between(inner), mse, (inputs, targets), dtype=dtype).kinks == names
    assert qpot.from_torch(between(nn.Tanh()), nn.L1Loss(), (inputs, targets)).kinks == ("l1_loss",)
