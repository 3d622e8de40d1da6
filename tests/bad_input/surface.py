"""Every public function with arguments that it accepts, and the kind of each of them."""

from __future__ import annotations

from bad_input import (
    chain_surface,
    companion_surface,
    exit_surface,
    infinity_surface,
    problem_surface,
    search_surface,
    simulation_surface,
)
from bad_input.scoring import Entry

WINGS = (
    chain_surface, problem_surface, search_surface, simulation_surface, companion_surface, infinity_surface, exit_surface,
)  # fmt: skip


def all_entries() -> list[Entry]:
    """The entries of all wings."""
    return [entry for wing in WINGS for entry in wing.entries()]
