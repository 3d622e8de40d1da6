"""Numerics of simulated SGD and diffusions.

- `covariance_factor`: Triangular factors of many covariances at once, singular ones included.
- `excursions`: Excursions of many clones of a Markov chain out of a neighbourhood, compiled or in NumPy.
- `minibatch`: One step of minibatch SGD: how samples are drawn, how a replica is moved, and how a target is noticed.
- `network_steps`: Minibatch SGD of tanh networks, with eight replicas side by side in the innermost loops.
- `reaction_coordinate`: Reaction coordinates as arrays for compiled kernels: a multilinear table, or heights along a
  polyline.
- `splitting`: Adaptive multilevel splitting: the selection between clones whose excursions have ended, and their
  branching.
- `stepping`: Steps of many replicas at once: compiled minibatch SGD, and vectorised NumPy steps for any functions.
"""
