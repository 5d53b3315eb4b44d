"""Step of a matrix product of two packed matrices of signs."""

from dataclasses import dataclass

from bnnkit.runtime.kernels.products import LANES, multiply
from bnnkit.runtime.kernels.records import ProductRecord
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.steps.step import KernelCall, kernel_call


@dataclass(frozen=True, kw_only=True)
class SignProduct:
    """The sums of x @ y for each of A matrices of an image.

    Attributes:
        source: The packed rows of x, uint64 (A * T, W).
        columns: The packed columns of y, uint64 (A * W, S padded to LANES).
        target: The sums, int32 (A * T, S padded to LANES).
        matrices: A.
        terms: K, the length of the sums.
    """

    name: str
    source: str
    columns: str
    target: str
    matrices: int
    terms: int

    def bind(self, memory: Memory) -> KernelCall:
        x, y = memory.buffers[self.source], memory.buffers[self.columns]
        sums = memory.buffers[self.target]
        words = x.shape[2]
        record = ProductRecord(
            x=memory.address(x),
            y=memory.address(y),
            sums=memory.address(sums),
            matrices=len(x) * self.matrices,
            rows=x.shape[1] // self.matrices,
            words=words,
            blocks=y.shape[2] // LANES,
            terms=self.terms,
            x_row=x.strides[1],
            y_word=y.strides[1],
            y_matrix=words * y.strides[1],
            sums_row=sums.strides[1],
        )
        return kernel_call(multiply, memory, record)
