"""Where a bundle runs: CUDA devices, and the CPU in their place. Needs no TVM."""
