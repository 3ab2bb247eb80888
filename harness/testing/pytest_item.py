"""The pytest item that runs a marked test several times, each in a fresh pytest process."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.config import presets
from harness.core.files import write_json
from harness.core.leaf_file import REQUEST, RESULT
from harness.core.spec_json import to_json
from harness.testing import fresh_process
from harness.testing.comparison import compare

# Import pytest first: it cannot rewrite the assertions of modules that are already imported, and
# warns about them.
PROGRAM = "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
SKIPPED = "skipped"  # file in a run's folder with the reason
MARK = "reproducible"


@dataclass(frozen=True)
class _RunOptions:
    """The arguments of the mark."""

    runs: int = 3
    determinism: str = "full"
    threads: int | None = None
    timeout_s: float = 600.0


class IsolatedItem(pytest.Item):
    """Replaces a marked test; has the test's marks but none of its fixtures."""

    original: pytest.Item

    @classmethod
    def of(cls, original: pytest.Item) -> IsolatedItem:
        assert original.parent is not None
        item: IsolatedItem = cls.from_parent(original.parent, name=original.name)
        item.original = original
        item.own_markers = original.own_markers
        item.keywords.update(original.keywords)
        return item

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.original.reportinfo()

    def runtest(self) -> None:
        mark = self.get_closest_marker(MARK)
        assert mark is not None
        options = _RunOptions(*mark.args, **mark.kwargs)
        if options.runs < 2:
            pytest.fail(f"runs={options.runs}: at least 2 runs are required", pytrace=False)
        with tempfile.TemporaryDirectory(prefix="harness-runs-") as scratch:
            comparison = compare(self._completed_runs(options, Path(scratch)))
        if comparison.difference is not None:
            pytest.fail(
                f"under determinism={options.determinism}: {comparison.describe()}", pytrace=False
            )

    def _completed_runs(self, options: _RunOptions, scratch: Path) -> Iterator[Path]:
        """Yield the folder of each run once the run has succeeded."""
        setting = presets.load_preset(options.determinism, options.threads)
        for number in range(1, options.runs + 1):
            folder = scratch / f"run-{number}"
            folder.mkdir()
            write_json(folder / REQUEST, {"determinism": to_json(setting)})
            label = f"run {number} of {options.runs}"
            try:
                status = fresh_process.run(
                    PROGRAM, self.words(), setting, folder, options.timeout_s
                )
            except TimeoutError as error:
                pytest.fail(f"{label} {error}", pytrace=False)
            if status != 0:
                pytest.fail(
                    f"{label}: pytest exited with status {status}\n{fresh_process.printed(folder)}",
                    pytrace=False,
                )
            if (folder / SKIPPED).exists():
                pytest.skip((folder / SKIPPED).read_text(encoding="utf-8"))
            if not (folder / RESULT).exists():
                pytest.fail(
                    "nothing to compare: pass at least one value to the fixture, for example "
                    "same_across_runs('weights', model)",
                    pytrace=False,
                )
            yield folder

    def words(self) -> list[str]:
        """Arguments for a pytest that runs only this test, with the same plugins and ini file."""
        option = self.config.option
        words = [
            f"{self.path}::{name_in_file(self)}",
            f"--rootdir={self.config.rootpath}",
            f"--import-mode={option.importmode}",
            "--color=no",
        ]
        if self.config.inipath is not None:
            words += ["-c", str(self.config.inipath)]
        for override in option.override_ini or ():
            words += ["-o", override]
        plugins = self.config.pluginmanager
        this_plugin = plugins.get_name(sys.modules["harness.testing.pytest_plugin"])
        for name in dict.fromkeys([*option.plugins, this_plugin]):
            words += ["-p", name]
        return [
            *words,
            *(["-n0"] if plugins.hasplugin("xdist") else []),
            *(["--no-cov"] if plugins.hasplugin("_cov") else []),
        ]


def name_in_file(item: pytest.Item) -> str:
    """Return the node ID without the file: classes, function and parameters."""
    module = item.getparent(pytest.Module)
    chain = item.listchain()
    return "::".join(node.name for node in chain[chain.index(module) + 1 if module else -1 :])
