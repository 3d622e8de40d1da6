"""Where the drift rests: minima, saddles, basins, symmetries."""
