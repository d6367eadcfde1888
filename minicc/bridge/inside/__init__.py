"""What runs inside the process that holds the old TVM: it imports `tvm`, NumPy, `minicc.bridge.frames` and `minicc.errors` only."""
