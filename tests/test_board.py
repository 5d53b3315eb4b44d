"""Boards by their files of /proc and /sys: cores, clusters, clocks, temperature, throttling."""

from pathlib import Path

import pytest
from recorded_boards import NAMES, write_board

from bnnkit.bench.board import Board, Cluster, read_board
from bnnkit.bench.conditions import Conditions, read_conditions, throttling
from bnnkit.bench.other_load import OtherLoad
from bnnkit.bench.surroundings import Surroundings
from bnnkit.bench.system_files import cpu_list

IDLE = OtherLoad(busy=0.0, cpus=4)
BOARDS = {
    "raspberry-pi-3": "Raspberry Pi 3 Model B Rev 1.2, 4 x Cortex-A53 up to 1200 MHz",
    "raspberry-pi-4": "Raspberry Pi 4 Model B Rev 1.5, 4 x Cortex-A72 up to 1800 MHz",
    "raspberry-pi-5": "Raspberry Pi 5 Model B Rev 1.0, 4 x Cortex-A76 up to 2400 MHz",
    "jetson-nano": "NVIDIA Jetson Nano Developer Kit, 4 x Cortex-A57 up to 1479 MHz",
    "rk3399": "Libre Computer ROC-RK3399-PC, 4 x Cortex-A53 up to 1416 MHz"
    " + 2 x Cortex-A72 up to 1800 MHz",
    "phone-snapdragon-845": "Qualcomm Technologies, Inc SDM845,"
    " 4 x Kryo 3xx Silver (Cortex-A55) up to 1766 MHz"
    " + 4 x Kryo 3xx Gold (Cortex-A75) up to 2803 MHz",
}
WARNINGS = {
    "raspberry-pi-3": [
        "the processor was throttled: the soft limit of temperature is reached",
        "the governor ondemand changes the clock",
    ],
    "raspberry-pi-4": ["the governor ondemand changes the clock"],
    "raspberry-pi-5": [],
    "jetson-nano": ["the governor schedutil", "the system limits 4 x Cortex-A57", "to 918 MHz"],
    "rk3399": [
        "the processor was throttled: cpufreq-cpu4 lowers the clock by 1 of 7 steps",
        "the governor schedutil changes the clock of 4 x Cortex-A53",
        "the governor schedutil changes the clock of 2 x Cortex-A72",
        "the system limits 2 x Cortex-A72 up to 1800 MHz to 1608 MHz",
        "threads may run on 4 x Cortex-A53 up to 1416 MHz and 2 x Cortex-A72",
    ],
    "phone-snapdragon-845": ["the governor schedutil", "threads may run on"],
}


def _surroundings(root: Path, cpus: tuple[int, ...] | None = None) -> Surroundings:
    board, now = read_board(root), read_conditions(root)
    every = tuple(cpu for cluster in board.clusters for cpu in cluster.cpus)
    return Surroundings(board=board, cpus=cpus or every, load=IDLE, start=now, end=now)


def test_every_recorded_board_has_its_tests() -> None:
    assert set(NAMES) == set(BOARDS) == set(WARNINGS)


@pytest.mark.parametrize("name", NAMES)
def test_a_board_and_what_it_warns_of(name: str, tmp_path: Path) -> None:
    found = _surroundings(write_board(name, tmp_path))
    assert str(found.board) == BOARDS[name]
    warnings = list(found.warnings())
    for words in WARNINGS[name]:
        assert any(words in line for line in warnings), (words, warnings)
    if not WARNINGS[name]:
        assert warnings == []


def test_clusters_hold_their_cpus(tmp_path: Path) -> None:
    board = read_board(write_board("rk3399", tmp_path))
    assert [cluster.cpus for cluster in board.clusters] == [(0, 1, 2, 3), (4, 5)]
    assert [cluster.limit_mhz for cluster in board.clusters] == [1416, 1608]


def test_one_cluster_has_no_warning_of_two(tmp_path: Path) -> None:
    found = _surroundings(write_board("rk3399", tmp_path), cpus=(4, 5))
    assert [cluster.core for cluster in found.clusters] == ["Cortex-A72"]
    assert not any("threads may run" in line for line in found.warnings())


def test_clock_and_temperature(tmp_path: Path) -> None:
    pi = read_conditions(write_board("raspberry-pi-4", tmp_path / "pi"), cpus=(1, 2))
    assert pi.mhz == {1: 1800, 2: 1800}
    assert pi.celsius == {"cpu-thermal": 55.017}
    phone = read_conditions(write_board("phone-snapdragon-845", tmp_path / "phone"))
    assert phone.mhz[0] == 1766
    assert phone.mhz[7] == 1997
    assert phone.hottest == 47.7  # the sensor vbat reports microvolts


def test_an_old_flag_is_no_throttling_but_a_new_one_is(tmp_path: Path) -> None:
    root = write_board("raspberry-pi-4", tmp_path)
    flags = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    start = read_conditions(root)
    assert start.flags == 0x50000
    assert throttling(start, start) == ()
    flags.write_text("f0000\n")
    found = throttling(start, read_conditions(root))
    assert found == (
        "at times during the benchmark, the clock is capped",
        "at times during the benchmark, the soft limit of temperature is reached",
    )


def test_counters_that_rise_are_throttling() -> None:
    start = Conditions(events={"cpu0 core_throttle_count": 3, "oc1_event_cnt": 7})
    end = Conditions(events={"cpu0 core_throttle_count": 5, "oc1_event_cnt": 7})
    assert throttling(start, end) == ("cpu0 core_throttle_count rose by 2",)


def test_counters_are_read(tmp_path: Path) -> None:
    for path, text in {
        "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": "4",
        "sys/class/hwmon/hwmon3/oc2_event_cnt": "9",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    found = read_conditions(tmp_path)
    assert found.events == {"cpu1 package_throttle_count": 4, "oc2_event_cnt": 9}


def test_sensors_of_one_name_are_all_kept(tmp_path: Path) -> None:
    for number, (name, milli) in enumerate(
        (("acpitz", 70_000), ("soc", 60_000), ("acpitz", 27_800))
    ):
        zone = tmp_path / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(name)
        (zone / "temp").write_text(str(milli))
    found = read_conditions(tmp_path)
    assert found.celsius == {
        "acpitz (thermal_zone0)": 70.0,
        "soc": 60.0,
        "acpitz (thermal_zone2)": 27.8,
    }
    assert found.hottest == 70.0


def test_a_core_by_its_register(tmp_path: Path) -> None:
    register = tmp_path / "sys/devices/system/cpu/cpu0/regs/identification/midr_el1"
    register.parent.mkdir(parents=True)
    register.write_text("0x00000000414fd0b1\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\n")
    assert str(read_board(tmp_path)) == "1 x Cortex-A76"


def test_unknown_cores_and_missing_files(tmp_path: Path) -> None:
    assert read_board(tmp_path) == Board(model=None, clusters=())
    assert read_conditions(tmp_path) == Conditions()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor: 0\nCPU implementer: 0x99\nCPU part: 0x123\n\n"
        "processor: 1\nmodel name: Some CPU\ncpu MHz: unknown\n\nprocessor: x\n"
    )
    board = read_board(tmp_path)
    assert [cluster.core for cluster in board.clusters] == ["core 0x99/0x123", "Some CPU"]
    assert read_conditions(tmp_path).mhz == {}


def test_the_governor_performance_does_not_scale() -> None:
    assert not Cluster(core="a", cpus=(0,), governor="performance").scales
    assert not Cluster(core="a", cpus=(0,)).scales
    assert Cluster(core="a", cpus=(0,), governor="powersave").scales


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,6", (0, 1, 2, 3, 6)), ("4 5", (4, 5)), ("2", (2,)), ("1,0,1", (0, 1))],
)
def test_lists_of_cpus(text: str, cpus: tuple[int, ...]) -> None:
    assert cpu_list(text) == cpus


@pytest.mark.parametrize("text", ["a", "-1", "1-", "0..3", "1;2", "3-x", "", ",", "3-1"])
def test_a_wrong_list_of_cpus(text: str) -> None:
    with pytest.raises(ValueError, match="expected numbers of CPUs"):
        cpu_list(text)
