"""Packages: compiled models in files.

In: an image, or the path of a package. Out: one tar file; and back, an image that is what it was.

    manifest.json                what it is, and for what: kind, target, inputs, outputs, kernels, sizes and digests
    code/minicc_main.o           machine code; of CUDA devices kernels.cu, kernels.sm_90.cubin, kernels.compute_75.ptx
    constants                    the weights, each as its plain bytes, used where they lie in the file
    stages                       texts of the stages, compressed

A package is a program. A file is read as hostile until proven otherwise, nothing is extracted or unpickled, and
reading runs nothing of it; but whoever *calls* what it holds runs its machine code with his own rights. So it is
loaded by `load_package` and `minicc run FILE.tar` only, and should come from somebody who is trusted.

    write(exe.image, Path("model.tar"))
    y, = load_package("model.tar")(x)
"""

from __future__ import annotations

from pathlib import Path

from minicc.errors import TargetError
from minicc.package.read import read as read
from minicc.package.write import write as write
from minicc.runtime.executable import Executable, load


def load_package(path: str | Path) -> Executable:
    """The compiled model in a package, ready to be called; a CUDA device is opened at the first call.

    Raises LoadError when the file is no whole package of this version, TargetError when this machine cannot run it.
    """
    image = read(Path(path))
    if image.target.is_cpu and (lacking := image.target.lacking()):
        problem = f"expected a processor with {', '.join(lacking)}, got one without"
        hint = "compile the model for this machine, or with --target portable for most"
        raise TargetError(f"load_package({str(path)!r})", problem, f"{image.name} is compiled for {image.target}", hint)
    return load(image)
