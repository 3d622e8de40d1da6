"""PyTorch modules at points of the flat vector of parameters, and new points as the modules draw them."""

from __future__ import annotations

from typing import Any

from qpot._core.arrays import Array
from qpot.samples.layout import ParameterLayout
from qpot.samples.torch_checks import copied


class Restore:
    """A function that makes a copy of the user's module with the parameters of a point."""

    def __init__(self, model: Any, layout: ParameterLayout) -> None:
        self.model, self.layout = copied(model), layout

    def __call__(self, point: Array) -> Any:
        import torch

        model = copied(self.model)
        with torch.no_grad():
            for name, value in self.layout.restore(point).items():
                parameter = model.get_parameter(name)
                parameter.copy_(torch.as_tensor(value).to(parameter))
        return model


class Initialise:
    """A function that draws the parameters of a user's module anew, as the module itself does it.

    Arrays that no ``reset_parameters`` draws get normal numbers of their own root mean square.
    """

    def __init__(self, model: Any, layout: ParameterLayout) -> None:
        self.model, self.layout = copied(model), layout

    def __call__(self, seed: int) -> Array:
        import torch

        model = copied(self.model)
        devices = sorted({p.get_device() for p in model.parameters() if p.is_cuda})
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.manual_seed(seed)
            drawn: set[int] = set()
            for module in model.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
                    drawn |= {id(parameter) for parameter in module.parameters()}
            values = {}
            for name in self.layout.names:
                parameter = model.get_parameter(name)
                if id(parameter) not in drawn:
                    parameter.copy_(torch.randn_like(parameter) * parameter.square().mean().sqrt())
                values[name] = parameter.detach().cpu().to(torch.float64).numpy()
        return self.layout.flatten(values)
