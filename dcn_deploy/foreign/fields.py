"""Reading the attributes and inputs of another project's node, and refusing what is not understood.

The projects spell the same few things in a handful of ways; no spelling means two things. What a
node has beyond those is an error: a converter that passes over an attribute computes something
else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from ..errors import ConversionError
from ..onnx_graph import DeformableNode, shape_of

STRIDE = ("stride", "strides")
PADDING = ("padding", "pads", "pad")
DILATION = ("dilation", "dilations")
GROUP = ("group", "groups")
OFFSET_GROUP = ("deform_groups", "deformable_group", "deformable_groups", "offset_group")
KERNEL = ("kernel_shape", "kernel_size", "kernel")


class Fields:
    """One node's attributes and inputs, each to be asked for once; ``close`` finds what is left."""

    def __init__(self, entry: DeformableNode) -> None:
        self._entry = entry
        self._left = dict(entry.node.attributes)

    def error(self, what: str) -> ConversionError:
        """An error about this node."""
        return ConversionError(f"node {self._entry.name!r} ({self._entry.op}): {what}")

    def inputs(self, *names: str, optional: Sequence[str] = ()) -> dict[str, ir.Value]:
        """The node's inputs by the contract's names, in the order in which this project has them.

        Raises:
            ConversionError: one is missing, or there are more.
        """
        order = (*names, *optional)
        given = list(self._entry.node.inputs)
        if len(given) > len(order):
            raise self.error(f"has {len(given)} inputs, expected {', '.join(order)}")
        found = {n: v for n, v in zip(order, given, strict=False) if v is not None}
        if missing := [name for name in names if name not in found]:
            raise self.error(
                f"lacks its input {', '.join(missing)}: it has {len(given)}, expected "
                f"{', '.join(order)}"
            )
        return found

    def _take(self, names: Sequence[str]) -> ir.Attr | None:
        present = [name for name in names if name in self._left]
        if len(present) > 1:
            raise self.error(f"has both {present[0]} and {present[1]}, expected one of them")
        return self._left.pop(present[0]) if present else None

    def _integers(self, attribute: ir.Attr) -> list[int]:
        value: Any = attribute.value
        kinds = (ir.AttributeType.INT, ir.AttributeType.INTS, ir.AttributeType.STRING)
        text = attribute.type == ir.AttributeType.STRING
        # One exporter writes numbers as text.
        if attribute.type not in kinds or (text and not str(value).isdecimal()):
            raise self.error(f"attribute {attribute.name} is {value!r}, expected integers")
        return [int(n) for n in value] if isinstance(value, Sequence) and not text else [int(value)]

    def integer(self, names: Sequence[str], default: int) -> int:
        """A number."""
        attribute = self._take(names)
        if attribute is None:
            return default
        numbers = self._integers(attribute)
        if len(numbers) != 1:
            raise self.error(f"attribute {attribute.name} is {numbers}, expected one number")
        return numbers[0]

    def sizes(
        self, names: Sequence[str], default: int | None, lengths: Sequence[int] = (2,)
    ) -> list[int]:
        """Two numbers, or as many as ``lengths`` allows.

        One number stands for both; ``name_h`` and ``name_w`` may stand for the list.

        Args:
            names: the spellings
            default: of both; None where a node must say it
            lengths: how long the list may be
        """
        attribute = self._take(names)
        if attribute is None:
            halves = [self._take([f"{name}_{axis}" for name in names]) for axis in "hw"]
            parts = [half for half in halves if half is not None]
            if len(parts) == 2:
                return [self._integers(part)[0] for part in parts]
            if parts or default is None:
                raise self.error(f"lacks its attribute {names[0]}, expected height and width")
            return [default, default]
        numbers = self._integers(attribute)
        if len(numbers) == 1:
            numbers *= 2
        if len(numbers) not in lengths:
            raise self.error(
                f"attribute {attribute.name} has {len(numbers)} values, {numbers}, expected "
                f"{' or '.join(map(str, lengths))}"
            )
        return numbers

    def constant(self, position: int, name: str) -> int:
        """A number that is an input of the node, and a constant of the graph."""
        value = self._entry.node.inputs[position]
        tensor = None if value is None else ir.convenience.get_const_tensor(value)
        if tensor is None or tensor.size != 1:
            raise self.error(f"its input {position}, {name}, is no constant number")
        return int(tensor.numpy().item())

    def require(self, names: Sequence[str], expected: int, why: str) -> None:
        """Check an attribute that may have one value only, if it is there."""
        given = self.integer(names, expected)
        if given != expected:
            raise self.error(f"attribute {names[0]} is {given}, expected {expected}: {why}")

    def require_kernel(self, weight: ir.Value) -> None:
        """Check that what the node says of its kernel is what its weight, [O, C/g, kH, kW], has."""
        attribute = self._take(KERNEL)
        shape = shape_of(weight)
        if attribute is None or shape is None or len(shape) != 4:
            return
        given = self._integers(attribute)
        if given * (2 // len(given)) != list(shape[2:]):
            raise self.error(f"attribute {attribute.name} is {given}, its weight has {shape[2:]}")

    def ignore(self, *names: str) -> None:
        """Attributes that change nothing about the result."""
        for name in names:
            self._left.pop(name, None)

    def close(self) -> None:
        """Check that nothing is left.

        Raises:
            ConversionError: an attribute was not asked for.
        """
        if self._left:
            raise self.error(
                f"has the unknown attribute {', '.join(sorted(self._left))}; what it means is not "
                "known, so that the node cannot be converted"
            )
