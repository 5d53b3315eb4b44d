"""Networks as C99 source: `export_c` writes a folder that needs no Python (docs/c.md)."""

from bnnkit.runtime.c_code.export_c import CReport, export_c

__all__ = ["CReport", "export_c"]
