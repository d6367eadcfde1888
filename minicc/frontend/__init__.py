"""Frontends: each translates a source format to calls of `ops`, and nothing else.

`load` takes an ONNX model (a path, bytes or a `ModelProto`) and gives a `Graph`. A model file is
hostile until proven otherwise: loading executes nothing of it and reads nothing outside its folder.
"""

from minicc.frontend.onnx import load

__all__ = ["load"]
