"""Faults of the solutions of A3, A4, A5 and A7: where, what stands there, what takes its place, the task that must lose points."""

FAULTS = [
    (
        "a3",
        "primitives.py",
        "{loop.var: outer * factor + inner}",
        "{loop.var: inner * (loop.extent // factor) + outer}",
        "3.1",
    ),
    (
        "a3",
        "primitives.py",
        "loop.extent // factor, For(inner, factor, body)",
        "loop.extent // factor, For(inner, factor, If(inner < factor, body))",
        "3.1",
    ),
    ("a3", "primitives.py", "For(outer, -(-loop.extent // factor)", "For(outer, loop.extent // factor", "3.2"),
    ("a3", "primitives.py", "variable % inner.extent", "(variable + 1) % inner.extent", "3.3"),
    ("a3", "primitives.py", "if step.factor < 1:", "if step.factor < 0:", "3.4"),
    ("a3", "primitives.py", "if name not in found:", "if name is None:", "3.4"),
    ("a3", "primitives.py", "if factor < loop.extent]", "if factor <= loop.extent]", "3.5"),
    ("a4", "rules.py", "first[axis] for axis in second", "second[axis] for axis in first", "4.1"),
    ("a4", "rules.py", "Add: -0.0, Sub: 0.0", "Add: 0.0, Sub: 0.0", "4.2"),
    ("a4", "rules.py", "or x.type != n.type:", "or x.dtype != n.dtype:", "4.2"),
    ("a4", "rules.py", "Reshape(n.type.shape, 0 in n.type.shape)(x", "n.op(x", "4.3"),
    ("a4", "rules.py", "or n.inputs[0] in shared:", "or n in shared:", "4.4"),
    ("a4", "rules.py", "b = bias - mean * a", "b = bias - mean", "4.4"),
    ("a4", "rules.py", 'not in ("int", "uint")', 'not in ("int", "uint", "float")', "4.5"),
    ("a4", "rules.py", "not i.array.any()", "not i.array.all()", "4.5"),
]
