"""Numerics of the chain of minima.

- `arborescence`: Minimum in-trees to every root at once, by one contraction of the digraph.
- `dense_elimination`: Elimination of a full matrix of rates, in scaled floats, by blocks of states.
- `fill_reducing`: An order of elimination that fills in little, on lists of neighbours, down to a core that is kept
  as a full matrix.
- `exact_sums`: Sums of floats without rounding: fixed-point numbers of several 32-bit limbs, most significant first.
- `exit_heaps`: Union-find of nested sets, and for every set a heap of the edges that may leave it, cheapest first.
- `hitting`: Exponents of mean hitting times, by elimination of states where sums are minima and products are sums.
- `scaled_floats`: Positive numbers as mantissas times powers of two, which neither underflow nor lose relative
  accuracy.
- `stationary_law`: Elimination of the states of a Markov chain without subtraction, sparse and in scaled floats.
- `transition_matrix`: Transition matrices of a Markov chain with rates over any number of decades.
"""
