"""Where the figures were taken."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from dcn_deploy.contract import contract

_VERSIONS_OF = ("dcn_deploy", "torch", "onnxruntime", "openvino", "torchvision", "numpy")


def machine(threads: int) -> dict[str, Any]:
    """Processor, caches, memory, instruction set and versions, as the machine itself says."""
    fields = _processor()
    return {
        "cpu": f"{fields['model name']}, family {fields['cpu family']}, model {fields['model']}",
        "cores": os.cpu_count(),
        "caches": _caches(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "instruction_set": contract().instruction_set,
        "versions": {name: version for name in _VERSIONS_OF if (version := _version(name))},
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> dict[str, str]:
    """The first processor's fields; what this system does not tell is "unknown"."""
    fields = dict.fromkeys(("model name", "cpu family", "model"), "unknown")
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if not key.strip():
            break
        fields[key.strip()] = value.strip()
    return fields


def _caches() -> dict[str, str]:
    """Size of each cache that one core sees."""
    sizes = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((cache / f).read_text().strip() for f in ("level", "type", "size"))
        sizes[f"L{level} {kind.lower()}"] = size
    return sizes


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
