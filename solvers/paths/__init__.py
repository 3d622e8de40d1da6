"""Numerics of minimum action paths.

- `action`: The action of a path in time: value, gradient and banded Hessian with respect to its nodes.
- `action_minimization`: Newton minimisation of the action on a fixed mesh, with a second-order check of the answer.
- `banded_steps`: Newton steps with a banded Hessian: shifted, softer than a shift allows, and along negative curvature.
- `condensed`: Linear systems of elements in a row: the inner nodes of each element are eliminated first, then the
  shared ones.
- `control_steps`: Steps in time for controls that are constant on each: short where the controls change.
- `controlled`: The cheapest control that leads from an attractor to the edge of its basin, by forward and backward sweeps in
  time.
- `controlled_motion`: Motions under controls that are constant on steps in time, and on which side of a basin's edge they
  end.
- `curve_action`: The geometric action of a given curve: the least cost of following it, over all speeds.
- `cycle_bend`: In the plane, the third order of what it costs to leave a limit cycle, or to come to one.
- `cycle_tube`: What it costs to leave a limit cycle, or to come to one, to second order in the distance from it; in the
  plane to third.
- `elements`: Piecewise polynomial paths in time: continuous spectral elements on a mesh of breakpoints.
- `factored_hessian`: The action's Hessian for a covariance in factors that change along the path.
- `feasible_path`: Paths that bounded noise can follow: found by adding Gaussian noise, and taking it away again.
- `fixed_time`: Minimum of the action over paths of given duration, on a mesh that adapts within a fixed time span.
- `free_end_model`: The quadratic model of the action of a path whose ends move on surfaces, and the path after a step
  of it.
- `free_ends`: Newton minimisation of the action with ends that may move on surfaces and a duration that may change.
- `free_passage`: The end of a path that is free on the stable manifold of a saddle, along which the drift carries it for
  nothing.
- `hamiltonian_path`: Extremals of the action in Hamiltonian form, by collocation in time and damped Newton steps.
- `hamiltonian_refinement`: Extremals for noise of any rank, from a floored covariance to the exact one, on a mesh
  that adapts.
- `hamiltonian_shooting`: Many extremals of the action at once, by shooting: initial paths where the ends of a leg are
  limit cycles.
- `initial_path`: Initial paths in time: a polyline gets the speed |x'| = |b| of an optimal path, and slow tails at
  fixed points.
- `interfaces`: Interfaces at which a covariance jumps: found by bisection along a curve, and the smooth surface around
  such a point.
- `large_action`: The action of a path in many dimensions: value and gradient by products, without a d x d matrix.
- `large_refinement`: Minimum action in many dimensions: adaptive mesh and time span, error from two degrees.
- `limits`: Limits of a refinement: the accuracy that is asked for, and the work that may be spent on it.
- `line_momentum`: Momenta on a line under exact noise: the root p(x) of H(x, p) = 0, and the cost as its integral.
- `local_preconditioner`: The action's Hessian from linear rates along a path: products, and an approximate inverse.
- `meshing`: Meshes on which every element carries the same error.
- `motion_errors`: Errors of a controlled motion's steps in time, and what it lacks on finer ones.
- `newton_krylov`: Minimisation of the action by Newton's method with conjugate gradients in a trust region.
- `path_refinement`: Minimum action on a mesh that adapts itself: element sizes, slow tails, and an error from two
  resolutions.
- `pieced_curve`: Curves in pieces between interfaces: the sum of their geometric actions, made small by moving all
  pieces together.
- `planar_cycle`: Unstable limit cycles in the plane: their orbit, and what it costs to come to them from close by.
- `ridge_descent`: From a floored covariance to the exact one, for a path whose end is free on the ridge of a saddle
  without noise.
- `roadmap`: A roadmap in the plane: nearly cheapest curves between points, over all curves on a grid and along known
  ones.
- `shot_extremals`: Extremals out of an attractor by shooting, from all sides of a small level set of the quasi-potential.
- `start_search`: The cheapest of many initial paths: minimisers under eased noise, and what these become without it.
- `steered`: Paths that the noise itself can follow: the motion under a given momentum, aimed at the edge of a basin.
- `subspace_preconditioner`: A preconditioner that solves a few strong directions together, and all others with one
  rate.
- `tails`: Tails of a path at ends that are fixed points: what cutting them costs, and how long they have to be.
- `tilted_samples`: The least cost of a motion of minibatch SGD, with the exact noise of its samples: optimal weights by
  direct shooting.
- `time_preconditioner`: Approximate inverses of the action's Hessian: operators that are constant in space or
  constant in time.
"""
