"""The most memory that this process has held.

Imports nothing but the standard library: ``memory_probe.py`` runs beside it without a package.
"""

import resource
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak() -> int:
    """The most memory that the process has held since ``forget``, in bytes."""
    if not _STATUS.exists():  # as on macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = _STATUS.read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def forget() -> None:
    """Let the peak be what is held now, where the system can: imports need more than they keep."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
