"""The watch over a GPU, as far as it can be shown without one; the rest is in test_cuda.py."""

from __future__ import annotations

import pynvml
import pytest

from harness.core.record import Outcome, RunRecord, Timed
from harness.core.spec import Cell, Determinism, Kind, RunSpec, Scenario
from harness.host.gpu_monitor import THROTTLE_REASONS, GpuMonitor, driver_index
from harness.report.caveats import load_caveats


def test_the_bits_are_the_driver_librarys() -> None:
    assert {
        "software power cap": pynvml.nvmlClocksEventReasonSwPowerCap,
        "hardware slowdown": pynvml.nvmlClocksThrottleReasonHwSlowdown,
        "sync boost": pynvml.nvmlClocksEventReasonSyncBoost,
        "software thermal slowdown": pynvml.nvmlClocksEventReasonSwThermalSlowdown,
        "hardware thermal slowdown": pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
        "hardware power brake": pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    } == THROTTLE_REASONS


def test_reasons_seen_at_different_times_add_up() -> None:
    watch = GpuMonitor("cpu")
    for events in (0x01, 0x04, 0x40):  # idle, power cap, hot
        watch.events |= events
    assert watch.throttled == ["software power cap", "hardware thermal slowdown"]


def test_a_cpu_run_is_neither_contended_nor_throttled() -> None:
    watch = GpuMonitor("cpu")
    watch.check_processes()
    watch.check_clocks()
    assert (watch.contended, watch.throttled) == (False, [])


@pytest.mark.parametrize(
    ("visible", "place"), [("", 1), ("3,5", 5), ("GPU-aa,GPU-bb", "GPU-bb"), ("3", 1)]
)
def test_the_drivers_place_follows_the_visible_devices(
    visible: str, place: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert driver_index("cuda:1") == place


def test_throttled_timing_runs_are_told_with_what_to_do() -> None:
    spec = RunSpec(
        Cell(Scenario("mlp", "mlp", {}), "seed", Determinism(), "cuda:0"), Kind.timing, 1
    )
    timed = Timed(1.0, 10, [0.1] * 10, {}, 0.5, None, {})
    slow = RunRecord("a", spec, Outcome.ok, throttled=["software power cap"], timed=timed)
    told = list(load_caveats([slow, RunRecord("b", spec, Outcome.ok, timed=timed)]))
    assert [caution.what for caution in told] == [
        "The GPU lowered its clocks during 1 timing run: software power cap."
    ]
