"""A pytest plugin: the runtime's kernels have the forms of AArch64, on any CPU.

They multiply in panels, and draw random numbers in lanes of 32 bits. BNNKIT_TEST_UDOT=1 chooses
the forms of CPUs with the instructions udot and sdot.
"""

import os
from dataclasses import replace

from bnnkit.runtime.kernels import panel, stochastic
from bnnkit.runtime.lowering import lower
from bnnkit.runtime.lowering.kernel_forms import IntegerForm, KernelForms, forms_of_this_cpu


def _in_panels() -> KernelForms:
    integer: IntegerForm = "byte panels" if HAS_UDOT else "short panels"
    return replace(forms_of_this_cpu(), binary="panel", integer=integer)


HAS_UDOT = bool(os.environ.get("BNNKIT_TEST_UDOT"))
vars(lower)["forms_of_this_cpu"] = _in_panels
vars(stochastic)["is_aarch64"] = lambda: True
if HAS_UDOT:
    vars(panel)["has_byte_dot_product"] = lambda: True
