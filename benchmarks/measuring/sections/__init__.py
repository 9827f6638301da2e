"""The parts of the report, in its order. Each is a module with the same four names:

``TITLE`` of its table; ``steps(plan)``, how many times ``measure`` calls its ``step``;
``measure(plan, step)``, what goes into the JSON file; ``sheet(data)``, the same for the eye.
"""

from __future__ import annotations

from types import ModuleType

from . import backward, breakdown, channels_last, dtypes, forward, instruction_sets, memory

SECTIONS: dict[str, ModuleType] = {
    "forward": forward,
    "breakdown": breakdown,
    "backward": backward,
    "dtypes": dtypes,
    "instruction_sets": instruction_sets,
    "memory": memory,
    "channels_last": channels_last,
}
