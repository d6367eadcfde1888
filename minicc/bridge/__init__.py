"""The way to TVM and back: graphs as Relax, loop programs as TIR, CUDA out of TVM's code generators."""
