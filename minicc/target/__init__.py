"""What a target is, and the one place that reads what users write of it.

>>> from minicc.target import Target
>>> Target.of("llvm -mcpu=haswell") == Target.of("haswell") == Target.of({"kind": "llvm", "mcpu": "haswell"})
True
"""

import llvmlite.binding as llvm

from minicc.target.host import Caches as Caches
from minicc.target.host import available_threads as available_threads
from minicc.target.host import cgroup_cpus as cgroup_cpus
from minicc.target.host import read_caches as read_caches
from minicc.target.target import EMULATED as EMULATED
from minicc.target.target import Target as Target

LLVM_VERSION = ".".join(map(str, llvm.llvm_version_info))
