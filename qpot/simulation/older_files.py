"""Ensembles in files of the releases before the common format of results: what they held, read once more."""

from __future__ import annotations

import json
from collections.abc import Mapping

from qpot._core.archive import array_of
from qpot.simulation.ensemble import Ensemble

_NEEDED = ("points", "steps", "time", "settings")


def read(members: Mapping[str, bytes], name: str) -> Ensemble:
    """The ensemble in a file of an earlier release.

    Parameters
    ----------
    members : mapping
        The members of the file.
    name : str
        The file's name, for messages.

    Raises
    ------
    ValueError
        If the file holds something else or is damaged.
    """
    data = {key.removesuffix(".npy"): array_of(value, key) for key, value in members.items()}
    missing = sorted(set(_NEEDED) - set(data))
    if missing:
        raise ValueError(f"{name} is no saved ensemble: it lacks {missing}")
    try:
        return Ensemble(
            points=data["points"],
            steps=data["steps"],
            time=data["time"],
            minima=data.get("minima"),
            labels=data.get("labels"),
            **json.loads(str(data["settings"])),
        )
    except TypeError as error:
        raise ValueError(f"{name} is no whole saved ensemble ({error}); load a copy") from error
