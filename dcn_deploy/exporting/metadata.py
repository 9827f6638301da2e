"""What the file says of its origin."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from ..availability import version_of
from ..contract import contract
from ..onnx_graph import deformable_nodes, origin_of
from .forms import Form


def sign(model: ir.Model, form: Form, exporter: str) -> None:
    """Name producer, version, form and op version; take out what the exporter noted of its work.

    The exporters' notes hold lines of source code and paths of the machine that they ran on. Of
    each deformable node its layer is kept, as the node's doc_string.
    """
    origins = {entry.node: origin_of(entry.node) for entry in deformable_nodes(model)}
    ClearMetadataAndDocStringPass()(model)
    for node, origin in origins.items():
        node.doc_string = origin or None
    model.producer_name = "dcn_deploy"
    model.producer_version = version_of("dcn_deploy") or "unknown"
    model.metadata_props.clear()
    model.metadata_props.update(
        {
            "dcn_deploy.form": form,
            "dcn_deploy.op_version": str(contract().version),
            "dcn_deploy.exporter": exporter,
            "dcn_deploy.torch": torch.__version__,
        }
    )
    # The oldest that the opset allows: old runtimes refuse a file for its ir_version alone.
    model.ir_version = least_ir_version(model)


def least_ir_version(model: ir.Model) -> int:
    """The oldest version of the file format that has the model's opsets."""
    opsets = [onnx.helper.make_opsetid(*item) for item in model.opset_imports.items()]
    return int(onnx.helper.find_min_ir_version_for(opsets, ignore_unknown=True))
