"""The types of the inputs of an ONNX graph.

In: what the file says of an input. Out: its type, in which a dimension without a number is a symbol. Symbols have
the names that the file gives, made fit for printing, and still distinct.

    types = InputTypes(file)
    [types.of(info) for info in model.graph.input]
"""

from __future__ import annotations

import re

from onnx import TensorShapeProto, ValueInfoProto

from minicc.frontend.onnx.tensors import ModelFile
from minicc.frontend.symbols import Symbols
from minicc.types import Dim, TensorType


class InputTypes:
    """The types of inputs of one graph, which share its symbols."""

    def __init__(self, file: ModelFile) -> None:
        self.file, self.symbols = file, Symbols()

    def of(self, info: ValueInfoProto) -> TensorType | None:
        """The type of an input; None of a sequence or an optional. Raises LoadError where it has none that we know."""
        what, kind = f"input {info.name!r}", info.type.WhichOneof("value")
        if kind in ("sequence_type", "optional_type"):
            return None
        tensor = info.type.tensor_type
        if kind != "tensor_type" or not tensor.HasField("shape"):
            hint = "export the model with a rank for each input; dimensions may have names in place of numbers"
            raise self.file.error(f"{what} must be a tensor with a shape, got {kind or 'no type'}", what, hint)
        dims = [self._dim(d, f"{info.name}_{axis}") for axis, d in enumerate(tensor.shape.dim)]
        self.file.shape([d for d in dims if isinstance(d, int)], what)
        return TensorType(self.file.dtype(tensor.elem_type, what), tuple(dims))

    def _dim(self, dim: TensorShapeProto.Dimension, nameless: str) -> Dim:
        """A dimension. Exporters write an unknown one as nothing, as -1 (PaddlePaddle), as "?" or as "None"."""
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value != -1:
            return int(dim.dim_value)
        named = re.search("[A-Za-z]", dim.dim_param) and dim.dim_param != "None"
        return self.symbols.of(dim.dim_param) if named else self.symbols.of(nameless, given=False)
