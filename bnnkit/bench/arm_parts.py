"""Names of ARM processor cores, by the numbers that Linux reports.

From arch/arm64/include/asm/cputype.h of Linux and lscpu-arm.c of util-linux.
"""

from typing import Final

_ARM: Final = {
    0xB76: "ARM1176",
    0xC07: "Cortex-A7",
    0xC08: "Cortex-A8",
    0xC09: "Cortex-A9",
    0xC0F: "Cortex-A15",
    0xC0E: "Cortex-A17",
    0xD01: "Cortex-A32",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD06: "Cortex-A65",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD0E: "Cortex-A76AE",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4B: "Cortex-A78C",
    0xD4C: "Cortex-X1C",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD4F: "Neoverse-V2",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
    0xD85: "Cortex-X925",
    0xD87: "Cortex-A725",
}
_NVIDIA: Final = {0x003: "Denver 2", 0x004: "Carmel"}
_QUALCOMM: Final = {
    0x001: "Oryon",
    0x201: "Kryo",
    0x205: "Kryo",
    0x211: "Kryo",
    0x800: "Kryo 2xx Gold (Cortex-A73)",
    0x801: "Kryo 2xx Silver (Cortex-A53)",
    0x802: "Kryo 3xx Gold (Cortex-A75)",
    0x803: "Kryo 3xx Silver (Cortex-A55)",
    0x804: "Kryo 4xx Gold (Cortex-A76)",
    0x805: "Kryo 4xx Silver (Cortex-A55)",
}
_APPLE: Final = {
    0x022: "Icestorm (M1)",
    0x023: "Firestorm (M1)",
    0x032: "Blizzard (M2)",
    0x033: "Avalanche (M2)",
}
_PARTS: Final = {0x41: _ARM, 0x4E: _NVIDIA, 0x51: _QUALCOMM, 0x61: _APPLE}


def part_name(implementer: int, part: int) -> str:
    """Return the name of a core, such as "Cortex-A72".

    Args:
        implementer: The number of the company, as in `CPU implementer` of /proc/cpuinfo.
        part: The number of the core, as in `CPU part`.

    Returns:
        The name; for unknown numbers, the numbers themselves.
    """
    return _PARTS.get(implementer, {}).get(part) or f"core 0x{implementer:02x}/0x{part:03x}"
