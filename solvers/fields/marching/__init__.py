"""Label-setting Hamilton-Jacobi solvers on grids."""
