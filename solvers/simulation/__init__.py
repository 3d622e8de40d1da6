"""Numerics of simulated SGD and diffusions.

- `reaction_coordinate`: Reaction coordinates as arrays: a multilinear table, or the height along a polyline; one
  value for a point.
- `splitting`: Adaptive multilevel splitting of a Markov chain: excursions of many clones, and the selection between
  them.
- `stepping`: Stepping many replicas at once: compiled minibatch SGD, and vectorised NumPy steps for any functions.
"""
