"""The sweep that carries rays over a grid, and what stands in where none arrives.

- `bridge`: Closing small gaps between nodes that rays have reached: cubic Hermite interpolation across them.
- `bundle`: How far the rays around a ray have drawn together, direction by direction, and how narrow its patch is for
  that.
- `characteristics`: Characteristics of the Hamilton-Jacobi equation that carry a Taylor polynomial of the quasi-
  potential.
- `claims`: Whether the value at a node can be what it claims: carried to it by characteristics, and not above any
  admissible path.
- `climb`: The way of a new ray up to the level of the sweep, where it finds nothing new: no labels, and steps of
  sixth order.
- `cycle`: Carrying Hessian and third derivative of V once round a limit cycle, where V and its gradient vanish.
- `gradients`: Gradients at nodes from the heads they belong to.
- `heap`: A binary min-heap of (key, item) pairs in plain arrays, for kernels.
- `kernel`: How kernels are compiled: cached, without the GIL, dividing as NumPy does, with fused products and no
  reference counts.
- `landing`: Where a ray that is followed back ends: in a cell of one sheet, or close to an equilibrium that the field
  goes over.
- `march`: One-pass march by ordered line integrals: the safety net under the rays, and a solver of its own.
- `march_state`: The arrays of a march and the plain-Python loop that feeds them to its kernel in slices.
- `medium`: Drift and covariance between the nodes of a grid, as the kernels see them.
- `parts`: What a sweep works on, by name: settings, nodes, rays, labels, and work space. Kernels take it as one
  argument.
- `projection`: Restoring what holds exactly along a ray and what an integrator leaves undone: H = 0, and Q and T
  along the ray.
- `relaunch`: Rays back from single nodes to where the field is beyond doubt: the value that they bring replaces a
  doubtful one.
- `retrace`: Where a new ray begins: back from the node it is meant for, to where it was close to a ray that is known.
- `sampling`: Drift and covariance at a point, with all derivatives up to the third, from the splines of a medium.
- `scatter`: Writing a head's Taylor polynomial onto the nodes around it, and deciding between polynomials that meet.
- `splines`: Tensor-product cubic splines of sampled fields, with all derivatives up to the third, for kernels.
- `state`: The arrays of a sweep and the plain-Python loop that feeds them to the kernels in slices.
- `stencil`: Which nodes a head speaks for: a ball in the metric of the noise, a^-1, scaled to unit determinant.
- `support`: Which nodes of a sheet its rays can have come to: upstream from them lies the source, not open space.
- `sweep`: Label-setting sweep: rays carry Taylor polynomials of V over the grid in the order of V.
- `taylor`: The Taylor polynomial of V that a state carries: its value, its gradient, and the same polynomial about
  another point.
- `update`: Ordered line integral updates: the cheapest straight last piece from accepted nodes to a node.
- `upstream`: Where a new ray begins: upstream, where it was still close to a ray that is known.
"""
