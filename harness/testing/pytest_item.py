"""A marked test under ``--reproducible``: run several times, each in a fresh pytest process."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.config import presets
from harness.core.leaf_file import REQUEST, RESULT
from harness.core.record import write_json
from harness.core.spec import to_json
from harness.testing import fresh_process
from harness.testing.comparison import compare

# Nothing of ours before pytest: it could not rewrite the assertions of what is imported already,
# and warns of that.
PROGRAM = "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
SKIPPED = "skipped"  # in a run's folder: why
MARK = "reproducible"


@dataclass(frozen=True)
class _RunOptions:
    """What the mark may say."""

    runs: int = 3
    determinism: str = "full"
    threads: int | None = None
    timeout_s: float = 600.0


class IsolatedItem(pytest.Item):
    """Stands in the place of the test, with its marks and without its fixtures."""

    original: pytest.Item

    @classmethod
    def of(cls, original: pytest.Item) -> IsolatedItem:
        assert original.parent is not None
        made: IsolatedItem = cls.from_parent(original.parent, name=original.name)
        made.original = original
        made.own_markers = original.own_markers
        made.keywords.update(original.keywords)
        return made

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.original.reportinfo()

    def runtest(self) -> None:
        mark = self.get_closest_marker(MARK)
        assert mark is not None
        terms = _RunOptions(*mark.args, **mark.kwargs)
        if terms.runs < 2:
            pytest.fail(f"runs={terms.runs}: at least 2 are needed to compare", pytrace=False)
        with tempfile.TemporaryDirectory(prefix="harness-runs-") as scratch:
            found = compare(self._made(terms, Path(scratch)))
        if found.difference is not None:
            pytest.fail(f"under determinism={terms.determinism}, {found.describe()}", pytrace=False)

    def _made(self, terms: _RunOptions, scratch: Path) -> Iterator[Path]:
        """Each run's folder when it has ended well."""
        setting = presets.load_preset(terms.determinism, terms.threads)
        for number in range(1, terms.runs + 1):
            folder = scratch / f"run-{number}"
            folder.mkdir()
            write_json(folder / REQUEST, {"determinism": to_json(setting)})
            which = f"run {number} of {terms.runs}"
            try:
                status = fresh_process.run(PROGRAM, self.words(), setting, folder, terms.timeout_s)
            except TimeoutError as error:
                pytest.fail(f"{which}: {error}", pytrace=False)
            if status != 0:
                pytest.fail(
                    f"{which} ended with pytest's exit status {status}\n"
                    f"{fresh_process.printed(folder)}",
                    pytrace=False,
                )
            if (folder / SKIPPED).exists():
                pytest.skip((folder / SKIPPED).read_text(encoding="utf-8"))
            if not (folder / RESULT).exists():
                pytest.fail(
                    "nothing was compared, for the test gave nothing to its fixture: "
                    "same_across_runs('weights', model)",
                    pytrace=False,
                )
            yield folder

    def words(self) -> list[str]:
        """Of a pytest that runs this test alone, with the plugins and the file of this one."""
        known = self.config.option
        words = [
            f"{self.path}::{name_in_file(self)}",
            f"--rootdir={self.config.rootpath}",
            f"--import-mode={known.importmode}",
            "--color=no",
        ]
        if self.config.inipath is not None:
            words += ["-c", str(self.config.inipath)]
        for word in known.override_ini or ():
            words += ["-o", word]
        plugins = self.config.pluginmanager
        own = plugins.get_name(sys.modules["harness.testing.pytest_plugin"])
        for name in dict.fromkeys([*known.plugins, own]):
            words += ["-p", name]
        return [
            *words,
            *(["-n0"] if plugins.hasplugin("xdist") else []),
            *(["--no-cov"] if plugins.hasplugin("_cov") else []),
        ]


def name_in_file(item: pytest.Item) -> str:
    """Classes, function and parameters: the test's name without its file's."""
    module = item.getparent(pytest.Module)
    chain = item.listchain()
    return "::".join(node.name for node in chain[chain.index(module) + 1 if module else -1 :])
