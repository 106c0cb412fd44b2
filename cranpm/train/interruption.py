"""Signals end a run after the step they arrive in, with its state saved; SLURM is asked to start it again.

A job script asks for a signal before its time is up (`#SBATCH --signal=USR1@300`). Lightning's own handling saves
where the signal strikes, in the middle of a step; this one waits for the step's end, so nothing is lost or doubled.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from types import FrameType

from cranpm.errors import CranpmError

SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)


@dataclass
class Interruption:
    """Whether and by what the run was asked to stop, and the step it stopped at."""

    signal: signal.Signals | None = None
    stopped_at: int | None = None

    @property
    def asked(self) -> bool:
        """Whether the run was asked to stop."""
        return self.signal is not None

    @property
    def asks_for_more_time(self) -> bool:
        """Whether the job's time is nearly up: SIGUSR1, here or (no signal here) on another device."""
        return self.signal in (None, signal.SIGUSR1)

    @property
    def exit_code(self) -> int:
        """The shell's code of a process ended by a signal; by another device's signal, that of SIGTERM."""
        return 128 + (self.signal or signal.SIGTERM)

    def listen(self) -> None:
        """Take note of the signals from now on; a second one of the same kind ends the process at once."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal == number:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.signal = signal.Signals(number)


def requeue() -> str | None:
    """Ask SLURM to start this job again.

    Returns:
        The job's number; None where there is no SLURM job, or no scontrol, as in a container: then the job script
        must do it, by the exit code.

    Raises:
        CranpmError: SLURM refused.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("scontrol") is None:
        return None
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    name = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else job
    why = ""
    try:
        answer = subprocess.run(["scontrol", "requeue", name], capture_output=True, text=True)
        why = f"scontrol: {answer.stderr.strip()}" if answer.returncode else ""
    except OSError as error:
        why = str(error)
    if why:
        raise CranpmError(f"job {name} cannot be requeued ({why}); submit it again: it goes on where it stopped")
    return name
