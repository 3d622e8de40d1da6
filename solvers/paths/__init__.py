"""Numerics of minimum action paths.

- `action`: The action of a path in time: value, gradient and banded Hessian with respect to its nodes.
- `action_minimization`: Newton minimisation of the action on a fixed mesh, with a second-order check of the answer.
- `elements`: Piecewise-polynomial paths in time: continuous spectral elements on a mesh of breakpoints.
- `feasible_path`: Paths that bounded noise can follow: found by adding Gaussian noise, and taking it away again.
- `fixed_time`: Minimum of the action over paths of given duration: the mesh adapts, the time span does not.
- `free_ends`: Newton minimisation of the action with ends that may move on surfaces and a duration that may change.
- `hamiltonian_path`: Extremals of the action in Hamiltonian form: collocation in time for positions and momenta, by
  damped Newton steps.
- `hamiltonian_refinement`: Extremals for noise of any rank: from a floored covariance to the exact one, on a mesh
  that adapts itself.
- `initial_path`: From a polyline in space to a timed path on a mesh: the natural speed |x'| = |b| and slow tails at
  fixed points.
- `large_action`: The action of a path in many dimensions: value and gradient by products only, no d x d matrix
  anywhere.
- `large_refinement`: Minimum action in many dimensions: adaptive mesh and time span, error from two degrees.
- `line_momentum`: Exact noise on a line: the momentum p(x) with H(x, p) = 0, and V as its integral, with no path in
  time at all.
- `local_preconditioner`: The action's Hessian from linear rates along the path: products, and a banded factorisation
  that leaves curvature out.
- `meshing`: Meshes on which every element carries the same error.
- `newton_krylov`: Minimisation of the action by Newton's method with preconditioned conjugate gradients in a trust
  region.
- `path_refinement`: Minimum action on a mesh that adapts itself: element sizes, slow tails, and an error from two
  resolutions.
- `subspace_preconditioner`: A preconditioner for rates and noises that spread widely: the strong directions solved
  together, the rest as one.
- `tails`: What the finite time of a path costs at ends that are fixed points, and how much longer it has to be.
- `time_preconditioner`: Approximate inverses of the action's Hessian: operators that are constant in space or
  constant in time.
"""
