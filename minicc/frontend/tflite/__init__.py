"""The TensorFlow Lite frontend: a `.tflite` file, of floats or quantised to 8 bits, becomes a graph.

    graph = load("model.tflite")

The package `tflite` knows the schema of these files: pip install "minicc[tflite]".
"""

from minicc.frontend.tflite.load import load as load
