"""Tensors of PyTorch as arrays, and arrays as tensors: of one memory, which both show.

In: a tensor on the CPU, of any strides. Out: an array of its elements in order; those of a tensor that lies in another
order are copied. NumPy's bfloat16 is no dtype of its own to PyTorch's conversions, so its bits go over.

>>> x = torch.ones(2, dtype=torch.bfloat16)
>>> array_of(x).dtype.name, tensor_of(array_of(x)).data_ptr() == x.data_ptr()
('bfloat16', True)
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch

from minicc.errors import LoadError
from minicc.frontend.torch.call import dtype_of
from minicc.ops.base import Array

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def array_of(tensor: torch.Tensor) -> Array:
    """The elements of a tensor. Raises LoadError where these are no numbers of minicc's, or not in this memory."""
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or dtype_of(tensor.dtype) is None:
        got = f"{tensor.dtype} on {tensor.device}, {str(tensor.layout).removeprefix('torch.')}"
        hint = "bring it to the CPU, dense, in a dtype that minicc has: x.cpu().to_dense().float()"
        raise LoadError("from_torch", f"expected tensors of numbers in memory, got {got}", hint=hint)
    held = tensor.detach().contiguous().resolve_neg()
    is_bfloat16 = held.dtype is torch.bfloat16
    array: Array = (held.view(torch.int16) if is_bfloat16 else held).numpy()
    return array.view(BFLOAT16) if is_bfloat16 else array


def tensor_of(array: Array) -> torch.Tensor:
    """A tensor in the memory of an array, which lives as long as the tensor does."""
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    made: torch.Tensor = torch.from_numpy(array)
    return made
