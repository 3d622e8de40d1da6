"""Bad input over the whole public surface: kinds of wrong values for each kind of argument, tried on every function.

- `values`: Wrong and right values for each kind of argument.
- `surface`: Every public function with arguments that it accepts, and the kind of each of them.
- `chain_surface`, `problem_surface`, `search_surface`, `simulation_surface`, `companion_surface`: The entries of each wing.
- `scoring`: One call, and what came of it: a clear error, rightly accepted, or anything else.
"""
