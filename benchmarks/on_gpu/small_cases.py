"""Small problems on the GPU, forward and backward in every dtype: what sanitizing.py watches.

python small_cases.py library
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]
package = types.ModuleType("dcn_deploy")
package.__path__ = [str(ROOT / "dcn_deploy")]
sys.modules["dcn_deploy"] = package

from cases import BY_NAME, make_inputs  # noqa: E402
from cuda_core.core import Core  # noqa: E402
from cuda_core.judging import BACKWARD, FORWARD, VARIED, grad_output_of, on  # noqa: E402


def main() -> None:
    core, calls = Core(Path(sys.argv[1])), 0
    for name in (*VARIED, "six_channels_per_offset_group"):
        case = BY_NAME[name]
        for kind in FORWARD.values():
            inputs = on(core.device, make_inputs(case, kind.dtype))
            for channels_last in (False, True):
                core.forward(
                    case, inputs, kind.options, packed=channels_last, channels_last=channels_last
                )
                calls += 1
        for kind in BACKWARD.values():
            inputs = make_inputs(case, kind.dtype)
            grad_output = grad_output_of(case, inputs).to(core.device)
            core.backward(case, on(core.device, inputs), grad_output, kind.options)
            calls += 1
    print(f"{calls} calls")


if __name__ == "__main__":
    main()
