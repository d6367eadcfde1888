"""Kernels on their way from sub-graph to machine code: lowered, scheduled, compiled, and found again in the cache."""
