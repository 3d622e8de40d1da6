"""The quasi-potential on grids."""
