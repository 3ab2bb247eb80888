"""Published studies from elsewhere: their text is text, and a bad one is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.exit_codes import BAD_REQUEST, DONE
from harness.core.run_archive import ARCHIVE
from harness.core.sums import write_sums
from tests.site.conftest import EQUAL, Publish, make, read

FACT = "put-float32-cpu-torch2.13.0"
HOSTILE = "<script>alert(1)</script>\" onload='alert(1)' {{ 7 * 7 }} \x1b[2J"


def test_names_with_markup_are_text(published: Path, publish: Publish) -> None:
    """Nothing of a headline, a machine, a scenario or an author becomes part of a page."""
    publish("a", headline=HOSTILE, machine={"cpu": HOSTILE, "usable_cores": 1, "git": HOSTILE})
    publish("<img src=x onerror=alert(1)>", mlp={**EQUAL, "scenario": HOSTILE}, words=[HOSTILE])
    (published / "others.toml").write_text(f"a = {json.dumps(HOSTILE)}\n")
    assert make(published).returncode == DONE
    for page in (published.parents[1] / "site").rglob("*.html"):
        text = page.read_text()
        assert page.name == "report.html" or text.count("<script>") == 1, page
        assert "<img" not in text
        assert "\x1b" not in text
        assert "49" not in re.sub("<style>.*</style>", "", text, flags=re.DOTALL) or "{{ 7" in text


def test_an_address_cannot_leave_the_site(published: Path, publish: Publish) -> None:
    """Operations, scenarios and devices named like paths have pages inside of the site."""
    folder = publish("a", mlp={**EQUAL, "scenario": "../../../outside"})
    publish("b", mlp={**EQUAL, "scenario": "../../../outside"})
    audit = (folder / "tables" / "audit.csv").read_text()
    (folder / "tables" / "audit.csv").write_text(audit.replace(",put,", ",../../../outside,"))
    write_sums(folder)
    assert make(published).returncode == DONE
    outside = {path.name for path in published.parents[1].iterdir()}
    assert outside == {"results", "site"}
    names = {path.name for path in (published.parents[1] / "site" / "facts").iterdir()}
    assert any(name.startswith(f"outside-{FACT.removeprefix('put-')}-") for name in names)


def break_table(folder: Path) -> None:
    path = folder / "tables" / "cells.csv"
    path.write_text(path.read_text().replace("verdict,", "other,"))


def with_manifest(**values: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        document = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**document, **values}))

    return change


BROKEN: dict[str, Callable[[Path], object]] = {
    "newer schema": with_manifest(schema=99),
    "created": with_manifest(created=5),
    "words": with_manifest(words=[1]),
    "machine": with_manifest(machine={}),
    "software": with_manifest(software=[]),
    "request": with_manifest(request=None),
    "deep": lambda folder: (folder / "manifest.json").write_text("[" * 200_000),
    "not finite": lambda folder: (folder / "tables" / "cells.csv").write_text(
        (folder / "tables" / "cells.csv").read_text().replace("0.098", "1e999")
    ),
    "manifest": lambda folder: (folder / "manifest.json").write_text("{"),
    "archive": lambda folder: (folder / ARCHIVE).write_text("no archive"),
    "column": break_table,
    "verdict": lambda folder: (folder / "tables" / "cells.csv").write_text(
        (folder / "tables" / "cells.csv").read_text().replace("identical", "perfect")
    ),
    "encoding": lambda folder: (folder / "tables" / "cells.csv").write_bytes(b"\xff\xfe\x00"),
    "number": lambda folder: (folder / "tables" / "cells.csv").write_text(
        (folder / "tables" / "cells.csv").read_text().replace("0.098", "often")
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_study_that_cannot_be_read_is_left_out(
    published: Path, publish: Publish, kind: str
) -> None:
    """It is named, and the site has the others."""
    publish("good")
    bad = publish("bad")
    BROKEN[kind](bad)
    write_sums(bad)
    done = make(published)
    assert done.returncode == DONE
    assert "left out: results/published/bad: it cannot be read" in done.stderr
    assert [each["study"] for each in read(published, "site.json")["studies"]] == ["good"]  # type: ignore[attr-defined]


def test_a_link_in_a_study_is_not_copied(published: Path, publish: Publish) -> None:
    """A study with a link to a file outside is left out."""
    secret = published.parent / "secret"
    secret.write_text("secret")
    folder = publish("a")
    (folder / "figures.svg").symlink_to(secret)
    write_sums(folder)
    publish("b")
    assert make(published).returncode == DONE
    assert not (published.parents[1] / "site/reports/a").exists()


def test_a_changed_study_is_left_out(published: Path, publish: Publish) -> None:
    """A page or headline that was edited after publication does not reach the site."""
    publish("good")
    (publish("bad") / "report.md").write_text("# Everything is reproducible.\n")
    done = make(published)
    assert "left out: results/published/bad" in done.stderr
    assert "Everything" not in (published.parents[1] / "site/index.html").read_text()


@pytest.mark.parametrize("text", ["a = ", "a = 5", '[a]\nb = "c"'])
def test_damaged_notes_are_named(published: Path, publish: Publish, text: str) -> None:
    """The file is named, and no site is made."""
    publish("a")
    (published / "superseded.toml").write_text(text)
    done = make(published)
    assert done.returncode == BAD_REQUEST
    assert "superseded.toml" in done.stderr
