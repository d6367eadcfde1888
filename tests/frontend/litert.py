"""What LiteRT says of a file of TensorFlow Lite."""


def litert(model, inputs, delegates=False):
    """The values of the outputs by LiteRT, by its own kernels or with its delegate of fast ones; inputs are in order."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kinds = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kinds)
    details = interpreter.get_input_details()
    for entry, value in zip(details, inputs, strict=True):
        if tuple(entry["shape"]) != value.shape:
            interpreter.resize_tensor_input(entry["index"], value.shape)
    interpreter.allocate_tensors()
    for entry, value in zip(details, inputs, strict=True):
        interpreter.set_tensor(entry["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(entry["index"]) for entry in interpreter.get_output_details()]
