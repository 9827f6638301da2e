"""How much memory a model takes in onnxruntime. Run as a program of its own, by its path.

A process of its own, because in any other one memory that was freed and is used again does not
show; and one that imports neither torch nor dcn_deploy, because theirs would hide the model's.

Reads one JSON object from stdin: model, inputs (a .npz; bfloat16 as its uint16 bits, named in
bfloat16), library (or null), config (entries of the session) and threads. Prints a number of bytes.
"""

import json
import sys

import numpy as np
import onnxruntime

# The file beside this one: run by its path, this one is in no package.
from peak import forget, peak  # type: ignore[import-not-found]

_BFLOAT16 = 16  # TensorProto.BFLOAT16


def main() -> None:
    """Measure, and print."""
    request = json.load(sys.stdin)
    values = {}
    for name, array in np.load(request["inputs"]).items():
        if name in request["bfloat16"]:
            value = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, _BFLOAT16)
        else:
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        values[name] = value
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = request["threads"]
    for key, entry in request["config"].items():
        options.add_session_config_entry(key, entry)
    if request["library"]:
        options.register_custom_ops_library(request["library"])
    forget()
    before = peak()
    session = onnxruntime.InferenceSession(
        request["model"], options, providers=["CPUExecutionProvider"]
    )
    for _ in range(2):  # the second has what the first sized
        session.run_with_ort_values([output.name for output in session.get_outputs()], values)
    print(peak() - before)


if __name__ == "__main__":
    main()
