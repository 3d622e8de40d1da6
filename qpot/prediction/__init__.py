"""Costs, the choice, and times."""
