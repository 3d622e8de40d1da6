"""from_jax: a loss of one sample, a tree of parameters and data as a finite sum."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot._core.interrupts import interruptible
from qpot._core.optional import needed
from qpot.samples.automatic import DEFAULT_MEMORY, Differentiated, ModelSum
from qpot.samples.formulas import Integers
from qpot.samples.held_against_loop import Tolerances, briefly, first_line, truth
from qpot.samples.layout import ParameterLayout
from qpot.samples.torch_models import as_weight_decay


@interruptible
def from_jax(
    loss_fn: Callable[..., Any],
    params: Any,
    data: Any,
    *,
    weight_decay: float = 0.0,
    dtype: Any = None,
    device: Any = None,
    memory: float = DEFAULT_MEMORY,
) -> ModelSum:
    """The mean of a JAX function over a data set, (1/N) sum_i loss_fn(params, *sample_i), as a finite sum.

    Parameters
    ----------
    loss_fn : callable ``(params, *sample) -> number``
        The loss of ONE sample, a pure function. With ``data = (X, y)`` it is called as ``loss_fn(params, X[i], y[i])``, with
        any other tree of arrays as ``loss_fn(params, tree of their i-th rows)``.
    params : tree of arrays
        Leaves of floating-point numbers are the parameters; all other leaves (and None) are constants. A module of Equinox
        or of Flax (``nnx``) is such a tree; of a Flax ``linen`` module pass what its ``init`` returns.
    data : tuple of arrays, or another tree of arrays
        The data set; every leaf has N rows.
    weight_decay : float
        w >= 0 adds w |x|^2 / 2 to every sample's loss; this changes the drift, not the covariance.
    dtype : optional
        The floating-point type of the computation, float64 by default. It is used for the duration of a call; the global
        setting of JAX stays as it is. Results are always float64 arrays.
    device : jax.Device, optional
        The device of the computation; data are moved there in pieces.
    memory : float
        The number of bytes that one piece of a computation may take, approximately.

    Returns
    -------
    ModelSum
        A `FiniteSum` with ``layout``, ``initial_point``, and ``model_at(point)``, the tree of parameters.

    Raises
    ------
    ImportError
        If JAX is not installed; the error has the line that installs it.
    ValueError
        If the loss is not one number, the data set is empty, data are NaN, or a loss is NaN (the error names the sample); if
        gradients are not those of the loss (the error names the parameter), or products with Hessians not those of gradients.

    Examples
    --------
    >>> import qpot
    >>> total = qpot.from_jax(lambda w, x, y: (w * x - y) ** 2, 1.0, ([1.0, 2.0], [0.0, 1.0]))
    >>> total.loss([[1.0]]), total.gradient([[1.0]]), total.hessian([[1.0]])
    (array([1.]), array([[3.]]), array([[[5.]]]))
    """
    jax = needed("jax", "qpot.from_jax", title="JAX", extra="jax")
    if not callable(loss_fn):
        raise ValueError(f"loss_fn must be a function (params, *sample) -> number, got {loss_fn!r}")
    decay = as_weight_decay(weight_decay)
    number = np.dtype(np.float64 if dtype is None else dtype)
    if number.kind != "f":
        raise ValueError(f"dtype must be a floating-point type, got {dtype!r}")
    tree = _Tree(jax, params)
    samples, structure = _rows(jax, data)
    functions = _JaxFunctions(loss_fn, tree, samples, structure, decay, number, device, memory)
    initial = np.concatenate([np.asarray(tree.leaves[k], dtype=np.float64).ravel() for k in tree.moving])
    functions.check(initial)
    functions.hold(initial)
    return functions.sum(layout=tree.layout, initial_point=initial, restore=tree)


class _Tree:
    """A tree of parameters as a flat vector: floating-point leaves move, the others are constants."""

    def __init__(self, jax: Any, params: Any) -> None:
        found, self.structure = jax.tree_util.tree_flatten_with_path(params)
        # Modules are trees too, some of which hold functions among their leaves.
        self.leaves = [leaf if callable(leaf) else np.asarray(leaf) for _, leaf in found]
        names = [jax.tree_util.keystr(path) or "params" for path, _ in found]
        self.moving = [
            k
            for k, leaf in enumerate(self.leaves)
            if isinstance(leaf, np.ndarray) and jax.numpy.issubdtype(leaf.dtype, np.floating)
        ]
        if not self.moving:
            raise ValueError("params has no leaf of floating-point numbers: there is nothing that SGD moves")
        self.dtypes = [self.leaves[k].dtype for k in self.moving]
        self.layout = ParameterLayout(
            names=tuple(names[k] for k in self.moving),
            shapes=tuple(tuple(self.leaves[k].shape) for k in self.moving),
            frozen=tuple(names[k] for k in range(len(names)) if k not in self.moving),
        )

    def build(self, theta: Any) -> Any:
        """The tree of parameters for a flat vector of JAX."""
        import jax

        leaves: list[Any] = list(self.leaves)
        for k, part in zip(self.moving, self.layout.views(theta).values(), strict=True):
            leaves[k] = part
        return jax.tree_util.tree_unflatten(self.structure, leaves)

    def __call__(self, point: Array) -> Any:
        """The tree of parameters at a point, as NumPy arrays of the types that the given parameters had."""
        import jax

        leaves: list[Any] = list(self.leaves)
        parts = self.layout.restore(point).values()
        for k, part, dtype in zip(self.moving, parts, self.dtypes, strict=True):
            leaves[k] = part.astype(dtype)
        return jax.tree_util.tree_unflatten(self.structure, leaves)


def _rows(jax: Any, data: Any) -> tuple[list[Any], Any]:
    """The leaves of the data, with N rows each, and the structure of one sample: a tuple is one argument for each part."""
    parts = tuple(data) if isinstance(data, (tuple, list)) else data
    leaves: list[Any] = []
    # A list of numbers counts as an array here, not as a tree of numbers.
    is_array = (lambda leaf: isinstance(leaf, list)) if isinstance(parts, tuple) else None
    found, structure = jax.tree_util.tree_flatten(parts, is_leaf=is_array)
    for k, leaf in enumerate(found):
        array = np.asarray(leaf) if not isinstance(leaf, jax.Array) else leaf
        if array.ndim == 0 or array.shape[0] == 0:
            raise ValueError("data is empty: a finite sum needs at least one sample, every leaf with N rows")
        if jax.numpy.issubdtype(array.dtype, np.floating):
            bad = np.flatnonzero(~np.isfinite(np.asarray(array).reshape(array.shape[0], -1)).all(axis=1))
            if bad.size:
                raise ValueError(f"data: sample {bad[0]} of part {k} is NaN or infinite; remove or repair it")
        leaves.append(array)
    if not leaves:
        raise ValueError("data is empty: a finite sum needs at least one sample")
    lengths = [leaf.shape[0] for leaf in leaves]
    if len(set(lengths)) > 1:
        raise ValueError(f"data: the parts have {lengths} rows; every leaf needs one row for each sample")
    return leaves, structure


class _JaxFunctions(Differentiated):
    """Pieces of losses and derivatives, which JAX compiles for each shape that occurs."""

    def __init__(
        self,
        loss_fn: Callable[..., Any],
        tree: _Tree,
        data: list[Any],
        structure: Any,
        decay: float,
        dtype: np.dtype[Any],
        device: Any,
        memory: float,
    ) -> None:
        self.loss_fn, self.tree, self.data, self.structure = loss_fn, tree, data, structure
        self.decay, self.dtype, self.device = decay, dtype, device
        self.compiled: dict[str, Any] = {}
        inputs = sum(int(np.prod(leaf.shape[1:])) for leaf in data)
        # How many numbers the function produces on the way is not known. The estimate is right for dense layers: as many as
        # there are inputs and parameters.
        super().__init__(
            data[0].shape[0], tree.layout.dimension, memory, inputs + tree.layout.dimension, dtype.itemsize
        )

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: the compiled functions stay here, and data become NumPy arrays."""
        state = {name: value for name, value in self.__dict__.items() if name != "compiled"}
        return state | {"data": [np.asarray(leaf) for leaf in self.data]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, compiled={})

    def check(self, initial: Array) -> None:
        """Refuse a loss function that does not return one real number for one sample."""
        import jax

        with self.precision():
            theta = np.asarray(initial, dtype=self.dtype)
            sample = tuple(leaf[0] for leaf in self.samples(slice(0, 1)))
            try:
                shape = jax.eval_shape(self._raw_loss, theta, *sample)
            except Exception as error:  # Any error of the user's function is told.
                raise ValueError(
                    f"loss_fn fails for one sample of shapes {', '.join(str(part.shape) for part in sample)}: "
                    f"{first_line(error)}. It is called as loss_fn(params, *sample) with the i-th rows of data, and traced: "
                    "no float(), if or NumPy functions of parameters"
                ) from error
        if getattr(shape, "shape", None) != ():
            raise ValueError(
                f"loss_fn must return one number for one sample, it returns {getattr(shape, 'shape', shape)}; called as "
                "loss_fn(params, *sample) with the i-th rows of data"
            )

    def hold(self, initial: Array) -> None:
        """Refuse a loss whose gradients or second derivatives are not its own, near the initial point."""
        allowed = Tolerances.of(8 * self.dtype.itemsize)
        known = truth(_Loop(self), initial, self.tree.layout, self.n_samples, allowed)
        reason = "" if known is None else briefly(self.piece, known, self.tree.layout, allowed)
        if reason:
            raise ValueError(
                f"loss_fn cannot be differentiated twice: {reason}. A custom derivative (custom_jvp, custom_vjp) is wrong, "
                "or the function is not pure; write it in elementary operations"
            )

    def piece(self, kind: str, rows: slice | Integers, *arrays: Array) -> Array:
        import jax

        n = arrays[0].shape[0]
        # Points are filled up to a power of two, so that few shapes occur and few programs are compiled.
        filled = 1 << (n - 1).bit_length()
        if filled > n:
            index = (
                None if isinstance(rows, slice) else np.concatenate([rows, np.repeat(rows[-1:], filled - n, axis=0)])
            )
            rows = rows if index is None else index
            arrays = tuple(np.concatenate([a, np.repeat(a[-1:], filled - n, axis=0)]) for a in arrays)
        with self.precision():
            if kind not in self.compiled:
                self.compiled[kind] = jax.jit(self._function(kind))
            numbers = [np.asarray(a, dtype=self.dtype) for a in arrays]
            values = self.compiled[kind](self.samples(rows), *numbers)
            return np.asarray(values, dtype=np.float64)[:n]

    def samples(self, rows: slice | Integers) -> tuple[Any, ...]:
        """The data of some samples; floating-point data in the type of the computation."""
        pieces = []
        for leaf in self.data:
            piece = leaf[rows]
            if np.issubdtype(piece.dtype, np.floating):
                piece = piece.astype(self.dtype)
            pieces.append(piece)
        return tuple(pieces)

    def precision(self) -> _Precision:
        """The context in which everything is computed."""
        return _Precision(self.dtype.itemsize == 8, self.device)

    def _raw_loss(self, theta: Any, *leaves: Any) -> Any:
        """The user's loss of one sample, without weight decay."""
        import jax

        sample = jax.tree_util.tree_unflatten(self.structure, leaves)
        params = self.tree.build(theta)
        return self.loss_fn(params, *sample) if isinstance(sample, tuple) else self.loss_fn(params, sample)

    def loss_of(self, theta: Any, leaves: Any) -> Any:
        """The loss of one sample."""
        return self._raw_loss(theta, *leaves) + 0.5 * self.decay * (theta @ theta)

    def _function(self, kind: str) -> Callable[..., Any]:
        """The function of that name, for a batch of points."""
        import jax
        from jax import grad, vmap

        one = self.loss_of
        losses = vmap(one, (None, 0))

        def pulled(theta: Any, data: Any, w: Any) -> Any:
            return grad(lambda t: w @ losses(t, data))(theta)

        def curved(theta: Any, data: Any, v: Any, w: Any) -> Any:
            return jax.jvp(lambda t: pulled(t, data, w), (theta,), (v,))[1]

        functions: dict[str, Callable[..., Any]] = {
            "losses": lambda data, x: vmap(losses, (0, None))(x, data),
            "sample_gradients": lambda data, x: vmap(vmap(grad(one), (None, 0)), (0, None))(x, data),
            "drawn_gradients": lambda data, x: vmap(vmap(grad(one), (None, 0)))(x, data),
            "batch_gradient": lambda data, x: vmap(grad(lambda t, rows: losses(t, rows).mean()))(x, data),
            "weighted_gradient": lambda data, x, w: vmap(pulled, (0, None, 0))(x, data, w),
            "directional_derivatives": lambda data, x, v: vmap(
                lambda t, u: jax.jvp(lambda s: losses(s, data), (t,), (u,))[1]
            )(x, v),
            "weighted_hessian_product": lambda data, x, v, w: vmap(curved, (0, None, 0, 0))(x, data, v, w),
            "hessian_rows": lambda data, x, v, w: vmap(vmap(curved, (None, None, 0, None)), (0, None, 0, 0))(
                x, data, v, w
            ),
        }
        return functions[kind]


class _Loop:
    """Losses and gradients of one point and one sample after another."""

    def __init__(self, functions: _JaxFunctions) -> None:
        import jax

        self.functions = functions
        self.loss, self.gradient = jax.jit(functions.loss_of), jax.jit(jax.grad(functions.loss_of))

    def losses(self, x: Array, samples: Sequence[int]) -> Array:
        """Losses of some samples at points (n, d), ``(n, S)``."""
        return self._values(self.loss, x, samples)

    def gradients(self, x: Array, samples: Sequence[int]) -> Array:
        """Gradients of some samples at points (n, d), ``(n, S, d)``."""
        return self._values(self.gradient, x, samples)

    def _values(self, function: Callable[..., Any], x: Array, samples: Sequence[int]) -> Array:
        with self.functions.precision():
            data = self.functions.samples(np.asarray(samples))
            rows = [tuple(leaf[k] for leaf in data) for k in range(len(samples))]
            points = np.asarray(x, dtype=self.functions.dtype)
            return np.array([[np.asarray(function(p, r), dtype=np.float64) for r in rows] for p in points])


class _Precision:
    """A context in which JAX computes in float64 and on the device."""

    def __init__(self, double: bool, device: Any) -> None:
        import jax

        # Older versions of JAX have ``enable_x64`` only in ``jax.experimental``.
        precision = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
        self.contexts = [precision.enable_x64(True)] if double else []
        if device is not None:
            self.contexts.append(jax.default_device(device))

    def __enter__(self) -> None:
        for context in self.contexts:
            context.__enter__()

    def __exit__(self, *error: Any) -> None:
        for context in reversed(self.contexts):
            context.__exit__(*error)
