"""The GPU monitor as far as it works without a GPU; test_cuda.py has the rest."""

from __future__ import annotations

import pynvml
import pytest

from harness.core.record import Outcome, RunRecord, Timed
from harness.core.spec import Cell, Determinism, Kind, RunSpec, Scenario
from harness.host.gpu_monitor import THROTTLE_REASONS, GpuMonitor, driver_index
from harness.report.content.caveats import load_caveats


def test_throttle_bits_match_nvml() -> None:
    """The bits of the throttle reasons are the constants of NVIDIA's library."""
    assert {
        "software power cap": pynvml.nvmlClocksEventReasonSwPowerCap,
        "hardware slowdown": pynvml.nvmlClocksThrottleReasonHwSlowdown,
        "sync boost": pynvml.nvmlClocksEventReasonSyncBoost,
        "software thermal slowdown": pynvml.nvmlClocksEventReasonSwThermalSlowdown,
        "hardware thermal slowdown": pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
        "hardware power brake": pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    } == THROTTLE_REASONS


def test_throttle_reasons_accumulate() -> None:
    """Reasons observed at different times are all reported, except idling."""
    monitor = GpuMonitor("cpu")
    for events in (0x01, 0x04, 0x40):  # idle, power cap, hot
        monitor.events |= events
    assert monitor.throttled == ["software power cap", "hardware thermal slowdown"]


def test_a_cpu_run_is_neither_contended_nor_throttled() -> None:
    """Monitoring a run on the CPU reports no contention and no throttling."""
    monitor = GpuMonitor("cpu")
    monitor.check_processes()
    monitor.check_clocks()
    assert (monitor.contended, monitor.throttled) == (False, [])


@pytest.mark.parametrize(
    ("visible", "index"), [("", 1), ("3,5", 5), ("GPU-aa,GPU-bb", "GPU-bb"), ("3", 1)]
)
def test_the_driver_index_follows_the_visible_devices(
    visible: str, index: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`CUDA_VISIBLE_DEVICES` decides which index or UUID the driver has for `cuda:1`."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert driver_index("cuda:1") == index


def test_throttled_timing_runs_cause_a_caveat() -> None:
    """The report warns of timing runs during which the GPU lowered its clocks."""
    spec = RunSpec(
        Cell(Scenario("mlp", "mlp", {}), "seed", Determinism(), "cuda:0"), Kind.timing, 1
    )
    timed = Timed(1.0, 10, [0.1] * 10, {}, 0.5, None, {})
    slow = RunRecord("a", spec, Outcome.ok, throttled=["software power cap"], timed=timed)
    caveats = list(load_caveats([slow, RunRecord("b", spec, Outcome.ok, timed=timed)]))
    assert [caveat.what for caveat in caveats] == [
        "The GPU lowered its clocks during 1 timing run: software power cap."
    ]
