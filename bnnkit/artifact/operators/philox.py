"""Philox(c0, c1, c2, c3, k0, k1): Philox4x32-10, a block of random words for a counter and a key.

The body uses only Mul, Add, bitwise operators and shifts of unsigned integers, so every engine
computes the same bits.

Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

from string import Template
from typing import Final

import numpy as np
from onnx import TensorProto

from bnnkit.artifact.operators.operand import Operand
from bnnkit.artifact.operators.operator import Array, Operator

Words = tuple[Array, Array, Array, Array]

_FACTORS: Final = (0xD2511F53, 0xCD9E8D57)
_WEYL: Final = (0x9E3779B9, 0xBB67AE85)
_ROUNDS: Final = 10
_WORD: Final = 2**32
_COUNTER_AND_KEY: Final = ("c0", "c1", "c2", "c3", "k0", "k1")


def philox4x32(counter: Words, key: tuple[int, int]) -> Words:
    """Compute the random words of a counter.

    Args:
        counter: Four arrays of words, 0 to 2^32 - 1, of shapes that broadcast.
        key: Two words.

    Returns:
        Four uint64 arrays of words, of one shape.
    """
    low, width = np.uint64(_WORD - 1), np.uint64(32)
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c).astype(np.uint64) for c in counter))
    for i in range(_ROUNDS):
        k0, k1 = (np.uint64((k + i * w) % _WORD) for k, w in zip(key, _WEYL, strict=True))
        p0, p2 = c0 * np.uint64(_FACTORS[0]), c2 * np.uint64(_FACTORS[1])  # below 2^64: exact
        c0, c1, c2, c3 = (p2 >> width) ^ c1 ^ k0, p2 & low, (p0 >> width) ^ c3 ^ k1, p0 & low
    return c0, c1, c2, c3


# One round of Philox4x32, on words 0 to 2^32 - 1 that are held in uint64, where the product of two
# of them is exact: (c0, c1, c2, c3) -> (hi(p2) ^ c1 ^ k0, lo(p2), hi(p0) ^ c3 ^ k1, lo(p0)) with
# p0 = c0 * factor0 and p2 = c2 * factor1.
_ROUND: Final = Template("""
  offset0_$i = Constant <value = uint64 {$weyl0}> ()
  offset1_$i = Constant <value = uint64 {$weyl1}> ()
  moved0_$i = Add (key0, offset0_$i)
  moved1_$i = Add (key1, offset1_$i)
  k0_$i = BitwiseAnd (moved0_$i, low)
  k1_$i = BitwiseAnd (moved1_$i, low)
  p0_$i = Mul (c0_$i, factor0)
  p2_$i = Mul (c2_$i, factor1)
  high0_$i = BitShift <direction: string = "RIGHT"> (p0_$i, width)
  high2_$i = BitShift <direction: string = "RIGHT"> (p2_$i, width)
  keyed1_$i = BitwiseXor (c1_$i, k0_$i)
  keyed3_$i = BitwiseXor (c3_$i, k1_$i)
  c0_$next = BitwiseXor (high2_$i, keyed1_$i)
  c1_$next = BitwiseAnd (p2_$i, low)
  c2_$next = BitwiseXor (high0_$i, keyed3_$i)
  c3_$next = BitwiseAnd (p0_$i, low)""")


def _body() -> str:
    """Return the body, with its rounds unrolled."""
    rounds = [
        _ROUND.substitute(i=i, next=i + 1, weyl0=i * _WEYL[0] % _WORD, weyl1=i * _WEYL[1] % _WORD)
        for i in range(_ROUNDS)
    ]
    words = [f"  w{j} = Cast <to: int = 12> (c{j}_{_ROUNDS})" for j in range(4)]
    counter = [f"  c{j}_0 = Cast <to: int = 13> (c{j})" for j in range(4)]
    keys = [f"  key{j} = Cast <to: int = 13> (k{j})" for j in range(2)]
    constants = f"""
  factor0 = Constant <value = uint64 {{{_FACTORS[0]}}}> ()
  factor1 = Constant <value = uint64 {{{_FACTORS[1]}}}> ()
  low = Constant <value = uint64 {{{_WORD - 1}}}> ()
  width = Constant <value = uint64 {{32}}> ()"""
    lines = [constants, *counter, *keys, *rounds, *words]
    return "\n".join(lines)


def _reference(
    c0: Array, c1: Array, c2: Array, c3: Array, k0: Array, k1: Array
) -> tuple[Array, ...]:
    words = philox4x32((c0, c1, c2, c3), (int(k0), int(k1)))
    return tuple(word.astype(np.uint32) for word in words)


PHILOX = Operator(
    name="Philox",
    # In the body of StochasticSign the shapes differ and are broadcast; no file has it elsewhere.
    inputs={name: Operand(TensorProto.UINT32, ("...",)) for name in _COUNTER_AND_KEY},
    outputs={f"w{i}": Operand(TensorProto.UINT32, ("...",)) for i in range(4)},
    body=_body(),
    reference=_reference,
    takes="words",
    gives="words",
)
