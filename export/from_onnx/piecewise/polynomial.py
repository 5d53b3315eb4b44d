"""Polynomials in unknown values with exact coefficients, to find what cancels.

A straight-through estimator leaves s + c - c in the forward pass, where c is a function of the
input. In exact arithmetic that is s; float32 may round it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

Monomial = tuple[str, ...]


@dataclass(frozen=True)
class Polynomial:
    """A polynomial in unknown values.

    Attributes:
        terms: The nonzero coefficients by monomial, a sorted tuple of names; () is the constant.
    """

    terms: Mapping[Monomial, Fraction]

    @property
    def constant(self) -> Fraction | None:
        """The value of a polynomial without unknowns; else None."""
        return self.terms.get((), Fraction(0)) if set(self.terms) <= {()} else None

    @property
    def name(self) -> str:
        """A name for the polynomial; equal polynomials have equal names."""
        return " + ".join(f"{self.terms[key]}*{'*'.join(key)}" for key in sorted(self.terms))

    def __add__(self, other: "Polynomial") -> "Polynomial":
        total: dict[Monomial, Fraction] = defaultdict(Fraction)
        for polynomial in (self, other):
            for key, factor in polynomial.terms.items():
                total[key] += factor
        return _tidy(total)

    def __mul__(self, other: "Polynomial") -> "Polynomial":
        total: dict[Monomial, Fraction] = defaultdict(Fraction)
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                total[tuple(sorted(left + right))] += a * b
        return _tidy(total)

    def __neg__(self) -> "Polynomial":
        return self * exactly(-1)


def exactly(content: Fraction | float) -> Polynomial:
    """A constant polynomial, exact."""
    return _tidy({(): Fraction(content)})


def unknown(name: str) -> Polynomial:
    """The polynomial that is one unknown value."""
    return Polynomial({(name,): Fraction(1)})


def _tidy(terms: Mapping[Monomial, Fraction]) -> Polynomial:
    return Polynomial({key: Fraction(n) for key, n in terms.items() if n != 0})
