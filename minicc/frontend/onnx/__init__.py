"""The ONNX frontend: `load` reads and checks a model, `call` is one node of it, `ops` translates each operator."""

from minicc.frontend.onnx.load import MOST_NODES as MOST_NODES
from minicc.frontend.onnx.supported import NEWEST as NEWEST
from minicc.frontend.onnx.load import load as load
from minicc.frontend.onnx.read import read_model as read_model
