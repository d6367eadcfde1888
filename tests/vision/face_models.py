"""Detectors of faces that say what a test wants."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from minicc.vision.faces import priors


def retinaface(width, height, faces, logits=False):
    """An ONNX model whose three results are constants: what a RetinaFace would say of these faces (box, five points).

    The formulas are those by which the boxes of SSD are encoded for training.
    """
    prior = priors(width, height)
    offsets, points = np.zeros((len(prior), 4), np.float32), np.zeros((len(prior), 10), np.float32)
    scores = np.tile(np.float32([0.99, 0.01]), (len(prior), 1))
    for k, (box, marks) in enumerate(faces):
        left, top, right, bottom = np.array(box) / (width, height, width, height)
        middle, size = np.array([(left + right) / 2, (top + bottom) / 2]), np.array([right - left, bottom - top])
        at = int(np.argmin(np.abs(prior[:, :2] - middle).sum(axis=1) + np.abs(prior[:, 2:] - size).sum(axis=1)))
        offsets[at, :2] = (middle - prior[at, :2]) / (0.1 * prior[at, 2:])
        offsets[at, 2:] = np.log(size / prior[at, 2:]) / 0.2
        points[at] = ((np.array(marks) / (width, height) - prior[at, :2]) / (0.1 * prior[at, 2:])).reshape(-1)
        scores[at] = 0.1 - 0.01 * k, 0.9 + 0.01 * k
    if logits:
        scores = np.log(scores)
    results = {"loc": offsets, "conf": scores, "landms": points}
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
    ]
    nodes += [helper.make_node("Add", [f"w_{name}", "nothing"], [name]) for name in results]
    held = [numpy_helper.from_array(array[None], f"w_{name}") for name, array in results.items()]
    held += [numpy_helper.from_array(np.int64([0, 1, 2, 3]), "axes"), numpy_helper.from_array(np.float32(0), "zero")]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, height, width])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *array.shape]) for name, array in results.items()
    ]
    return helper.make_model(
        helper.make_graph(nodes, "retinaface", [image], ends, held), opset_imports=[helper.make_opsetid("", 18)]
    )
