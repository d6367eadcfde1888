"""Source code of a graph by generators of the old TVM, through Relay: C, and kernels of OpenCL. It is text, to be read.

In: a graph with bound operands and dimensions. Out: a text. The C is a whole program, with the weights in it; see
`minicc.bridge.inside.code` for its form.

    print(relay_code(graph, "c"))  # int32_t tvmgen_default_run(struct tvmgen_default_inputs* inputs, ...)
"""

from __future__ import annotations

from minicc.bridge.old_tvm import old_tvm
from minicc.bridge.relay import relay_program
from minicc.errors import printable
from minicc.graph.ir import Graph

# by --target: the language, the ending of a file
LANGUAGES = {"relay-c": ("c", ".c"), "relay-opencl": ("opencl", ".cl")}
PATIENCE = 600.0  # seconds that TVM may take for a whole model


def relay_code(graph: Graph, language: str) -> str:
    """The graph in a language, "c" or "opencl", with its inputs and outputs in a comment before it.

    Raises BridgeError where the old TVM is not installed, or fails, or an operator has no form in Relay.
    """
    program = relay_program(graph)
    _, made = old_tvm().ask(f"code.{language}", program.source, program.constants, PATIENCE)
    ports = [("input", *port) for port in zip(graph.input_names, graph.inputs, strict=True)]
    ports += [("output", *port) for port in zip(graph.output_names, graph.outputs, strict=True)]
    head = [f"// {printable(graph.name)}: made by TVM 0.16, through Relay", *(
        f"// {side} {printable(name)}: {n.type}" for side, name, n in ports)]  # fmt: skip
    return "\n".join([*head, "", made["text"].tobytes().decode()])
