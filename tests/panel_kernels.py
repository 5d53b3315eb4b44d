"""A pytest plugin: the runtime multiplies signs in panels, as on AArch64, on any CPU.

BNNKIT_TEST_UDOT=1 also chooses the accumulators of CPUs with the instruction udot.
"""

import os
from dataclasses import replace

from bnnkit.runtime.kernels import panel
from bnnkit.runtime.lowering import lower
from bnnkit.runtime.lowering.kernel_forms import KernelForms, forms_of_this_cpu


def _in_panels() -> KernelForms:
    return replace(forms_of_this_cpu(), binary="panel")


vars(lower)["forms_of_this_cpu"] = _in_panels
if os.environ.get("BNNKIT_TEST_UDOT"):
    vars(panel)["has_byte_dot_product"] = lambda: True
