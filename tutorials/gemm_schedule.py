"""A fast matrix product, scheduled by hand: `minicc explore tutorials/gemm_schedule.py` shows each step of it.

Tiles of 6 rows by 2 vectors are summed up in registers, from weights that are packed into panels of that width. Lesson
09_matmul_to_the_peak.py comes to this schedule step by step, and measures each.
"""

from minicc import Target, te

m, n, depth = 480, 512, 256
width = 2 * Target.native().lanes("float32")
A, B = te.placeholder((m, depth), name="A"), te.placeholder((depth, n), name="B")
P = te.compute((n // width, depth, width), lambda panel, k, c: B[k, panel * width + c], name="P")
k = te.reduce_axis((0, depth), name="k")
C = te.compute((m, n), lambda i, j: te.sum(A[i, k] * P[j // width, k, j % width], axis=k), name="C")

s = te.create_schedule(C.op)
sums = s.cache_write(C, "local")
i_outer, j_outer, i_inner, j_inner = s[C].tile(*s[C].op.axis, 6, width)
s[C].reorder(j_outer, i_outer, i_inner, j_inner)  # a panel of P is used by all rows before the next
s[sums].compute_at(s[C], i_outer)
row, column = s[sums].op.axis
s[sums].reorder(*s[sums].op.reduce_axis, row, column)
s[sums].unroll(row)
s[sums].vectorize(column)
s[C].unroll(i_inner)
s[C].vectorize(j_inner)
s[P].vectorize(P.op.axis[2])
s[C].parallel(j_outer)
s[P].parallel(P.op.axis[0])
