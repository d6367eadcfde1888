"""The PyTorch frontend: `export` makes a program, `translate` goes over it with the tables, `load` makes a graph of it."""

from minicc.frontend.torch.load import from_torch as from_torch
