"""Numerics of simulated SGD and diffusions.

- `covariance_factor`: Triangular factors of many covariances at once, singular ones included.
- `excursions`: Excursions of many clones of a Markov chain out of a neighbourhood, compiled or in NumPy.
- `minibatch`: One step of minibatch SGD: how samples are drawn, a replica moved, a target noticed.
- `reaction_coordinate`: Reaction coordinates as arrays: a multilinear table, or the height along a polyline; one
  value for a point.
- `splitting`: Adaptive multilevel splitting: the selection between clones whose excursions have ended, and their
  branching.
- `stepping`: Stepping many replicas at once: compiled minibatch SGD, and vectorised NumPy steps for any functions.
"""
