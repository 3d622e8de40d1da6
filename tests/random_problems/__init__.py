"""Random problems of known answer, one module a kind, and how an answer is scored.

problem      the value `Problem`, and other units
truth        critical points, flooding and sums of climbs in the plane, without qpot
wells        Gaussian wells, also narrow ones
prescribed   prescribed quasi-potentials: rotating drifts and full covariances in 2 to 8 dimensions
separable    sums of one-dimensional wells, turned; the same in other units
degenerate   passes that are not hyperbolic
kinked       losses with kinks
edges        minima on edges of the box, passes beyond them
classics     landscapes from textbooks
cycles       limit cycles in the plane, with a verdict of their own: states that are no points
lattices     many minima, and tori
tori         periodic axes: tilted rings, sheared tori, cylinders, prescribed potentials
kinked_noise noise that jumps or has kinks where the loss has
rotating     wells under rotation, of which W is known
whirls       its harder neighbours: more waves, uneven noise, three dimensions
kinds        the kinds by name
scoring      right, flagged, refused, late, wrong without a flag
"""
