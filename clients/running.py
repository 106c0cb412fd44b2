"""Before a run is sent to the agencies: does the coordinator's book allow it?"""

from __future__ import annotations

from pathlib import Path

from cranpm.clients.book import Book
from cranpm.clients.federation import read_federation
from cranpm.errors import CranpmError


def check_run(folder: Path, *, resume: bool) -> None:
    """Refuse what the run itself would refuse, before processes are started for it.

    Raises:
        CranpmError: there are rounds and nobody said to go on, or none to go on with, or more than are wanted.
    """
    rounds, wanted = [line.round for line in Book(folder).lines], read_federation(folder).rounds
    if rounds and not resume:
        raise CranpmError(f"{folder}: holds {rounds[-1]} rounds already; go on with --resume")
    if resume and not rounds:
        raise CranpmError(f"{folder}: no round there to go on with; leave --resume out")
    if rounds and rounds[-1] > wanted:
        raise CranpmError(f"{folder}: {rounds[-1]} rounds are done, federation.yaml says {wanted}")
