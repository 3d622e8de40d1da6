"""Numerics of fixed points and of the flow to them.

- `band`: Bands: curves between two minima that descend across themselves, and the highest point of each, a mountain pass.
- `chebyshev_flow`: Trajectories of stiff gradient flows in many dimensions, by a stabilised explicit method.
- `closed_orbits`: Closed orbits of a vector field: returns of a trajectory, and Newton's method.
- `contradictions`: Places where a vector field contradicts the trend of its surroundings, since something narrow hides there.
- `coverage`: How much of a box the basins that no start has hit can hold: stratified starts, and bounds on the mass unseen.
- `descents`: Descents of a loss from many starts, all together, so that one call of loss or gradient serves every start.
- `flooding`: Passes between basins on a grid: nodes descend to their lowest neighbours, and water rises until basins meet.
- `flow`: The deterministic flow x' = b(x) of many points at once, each with its own adaptive time step.
- `gradient_sampling`: Descents across and along kinks: steps against the shortest mean of gradients sampled around a point.
- `half_stable`: Half-stable rests: fixed points that attract from one side and repel on the other.
- `kinked_sums`: Minima of sums at kinks of their terms: Newton's method on the kinks that hold the minimum.
- `mode_following`: Mode following: climbs to saddles along one mode of the Hessian at a time.
- `neighbourhoods`: Ellipsoids around attracting points that a flow enters but does not leave, those of all points at once.
- `noisy_exits`: Exits by noise: ways on which a small diffusion leaves a basin.
- `relaxation_orbits`: Closed orbits in the plane that attract so strongly that one turn suffices.
- `saddle_string`: The highest point of a string between two minima, from which a climb to the saddle starts.
- `stationary_points`: Zeros of a vector field by damped Newton steps, and points on the border between two basins.
- `winding`: The degree of a vector field on the boundary of a box: the number of fixed points in it, counted with signs.
"""
