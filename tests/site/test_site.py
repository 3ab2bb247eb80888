"""The site says of facts and cells what the published tables say, and links what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from harness.core.exit_codes import BAD_REQUEST, DONE
from harness.core.run_archive import ARCHIVE
from harness.core.sums import write_sums
from harness.site.__main__ import main
from harness.site.build import read_site
from harness.site.study_tables import read_tables, slug
from tests.conftest import Done, command
from tests.site.conftest import EQUAL, VARIES, Publish

FACT = "put-float32-cpu-torch2.13.0"
TREND = "mlp-seed-cpu"
HOSTILE = "<script>alert(1)</script>\" onload='alert(1)' {{ 7 * 7 }} \x1b[2J"


def make(published: Path, target: str = "site") -> Done:
    return command("results/published", target, cwd=published.parents[1], program=main)


def read(published: Path, page: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((published.parents[1] / "site" / page).read_text())
    return document


def test_a_fact_has_all_its_evidence(published: Path, publish: Publish) -> None:
    """The newest study decides what an operation does; others agree, or do not."""
    publish("a", created="2026-01-01T00:00:00Z")
    publish("b", put=EQUAL, created="2026-01-02T00:00:00Z")
    publish("c", created="2026-01-03T00:00:00Z")
    assert make(published).returncode == DONE
    fact = read(published, f"facts/{FACT}.json")
    assert fact["sentence"] == (
        "put (float32) on CPU, PyTorch 2.13.0: varies per call (all 5) with seeds alone; with "
        "deterministic algorithms identical (n = 30)"
    )
    assert (fact["other_studies"], fact["other_studies_alike"]) == (2, 1)


def test_a_superseded_study_decides_nothing(published: Path, publish: Publish) -> None:
    """A study that another one replaces comes after all that count, even if it is newer."""
    publish("old", put=EQUAL, created="2026-02-01T00:00:00Z")
    publish("new", created="2026-01-01T00:00:00Z")
    (published / "superseded.toml").write_text('old = "new"\n')
    (fact,) = read_site(published).facts
    assert [each.study.name for each in fact.evidence] == ["new", "old"]


def test_only_somebody_else_reproduces(published: Path, publish: Publish) -> None:
    """A second study of the same people agrees; one by others reproduces."""
    for name in ("own", "own-again", "theirs"):
        publish(name)
    (published / "others.toml").write_text('theirs = "a lab"\n')
    assert make(published).returncode == DONE
    fact = read(published, f"facts/{FACT}.json")
    assert (fact["other_studies_alike"], fact["reproduced_by_others"]) == (2, 1)
    page = (published.parents[1] / "site" / "studies" / "theirs.html").read_text()
    assert "run by a lab" in page


@pytest.mark.parametrize(
    ("second", "letters", "alike"),
    [
        ({"bits": "d1"}, ["A", "A"], 1),
        ({"bits": "d2"}, ["B", "A"], 1),
        ({"mlp": VARIES}, ["", "A"], 0),
    ],
)
def test_a_trend_tells_bits_apart(
    published: Path, publish: Publish, second: dict[str, object], letters: list[str], alike: int
) -> None:
    """Studies have the same letter if they ended with the same parameters in all runs."""
    publish("first", created="2026-01-01T00:00:00Z")
    publish("second", created="2026-01-02T00:00:00Z", **second)
    (trend,) = read_site(published).trends
    assert trend.bits == letters
    assert trend.count_alike(trend.cells[0]) == alike


def test_other_overrides_are_other_cells(published: Path, publish: Publish) -> None:
    """A training with an option of its own has no trend with the plain one."""
    publish("plain")
    publish("other", created="2027", mlp={**EQUAL, "overrides": "'scenario.width=a b'"})
    site = read_site(published)
    assert site.trends == []
    assert read_tables(site.studies[0]).cells[0].training == "mlp (width=a b)"


def test_every_link_leads_somewhere(published: Path, publish: Publish) -> None:
    """All addresses are relative, and each names a file of the site."""
    for name in ("a", "b b", "c#d%41"):
        publish(name)
    assert make(published).returncode == DONE
    site = published.parents[1] / "site"
    pages = [page for page in site.rglob("*.html") if page.name != "report.html"]
    assert len(pages) == 1 + 3 + 1 + 1
    for page in pages:
        for address in re.findall(r'href="([^"]*)"', page.read_text()):
            name, _, anchor = address.partition("#")
            target = page.parent / unquote(name) if name else page
            assert target.is_file(), f"{page.name}: {address}"
            if target == page:
                assert f'id="{anchor}"' in page.read_text()


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


def test_different_names_have_different_addresses() -> None:
    """Names that differ only in what an address cannot hold do not share a page."""
    names = ["a b", "a (b)", "A", "a=b", "a", "x" * 300, "x" * 301, "é", "è"]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("a b", "c") != slug("a", "b c")
    assert all(len(slug(name, name)) < 200 for name in names)


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


@pytest.mark.parametrize("kind", ["folder", "repository", "namesake", "link", "file"])
def test_only_a_site_is_replaced(published: Path, publish: Publish, kind: str) -> None:
    """A folder with anything else in it, a link and a file are refused and kept."""
    publish("a")
    target = published.parents[1] / "site"
    elsewhere = published.parents[1] / "elsewhere"
    elsewhere.mkdir()
    if kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("years of work")
    elif kind == "repository":
        make(published)
        (target / ".git").mkdir()
    elif kind == "namesake":
        target.mkdir()
        (target / "site.json").write_text("{}")
    elif kind == "link":
        target.symlink_to(elsewhere)
    else:
        target.write_text("years of work")
    done = make(published)
    assert done.returncode == BAD_REQUEST
    assert "is not a site that was made by this command" in done.stderr
    assert not list(elsewhere.iterdir())


def test_a_site_is_made_again(published: Path, publish: Publish) -> None:
    """A second site replaces the first: what is no longer published is gone."""
    for name in ("a", "b"):
        publish(name)
    assert make(published).returncode == DONE
    for path in sorted((published / "b").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (published / "b").rmdir()
    assert make(published).returncode == DONE
    site = published.parents[1] / "site"
    assert {path.name for path in (site / "studies").iterdir()} == {"a.html", "a.json"}
    assert {path.name for path in (site / "reports").iterdir()} == {"a"}


def test_a_changed_study_is_left_out(published: Path, publish: Publish) -> None:
    """A page or headline that was edited after publication does not reach the site."""
    publish("good")
    (publish("bad") / "report.md").write_text("# Everything is reproducible.\n")
    done = make(published)
    assert "left out: results/published/bad" in done.stderr
    assert "Everything" not in (published.parents[1] / "site/index.html").read_text()


def test_a_failed_control_is_said_and_does_not_lead(published: Path, publish: Publish) -> None:
    """Evidence of a study whose control failed comes last, with a mark."""
    publish("good", created="2026-01-01T00:00:00Z")
    bad = publish("bad", put=EQUAL, created="2026-02-01T00:00:00Z")
    controls = bad / "tables" / "controls.csv"
    controls.write_text("control,check\npositive,failed\n")
    write_sums(bad)
    assert make(published).returncode == DONE
    for page in (f"facts/{FACT}", f"trends/{TREND}"):
        text = (published.parents[1] / "site" / f"{page}.html").read_text()
        assert text.index(">good<") < text.index(">bad<")
        assert text.count("(a control failed)") == 1


def test_copies_and_scripts_of_one_name_reproduce_nothing(
    published: Path, publish: Publish
) -> None:
    """Many studies of the same people count once, and another script is another training."""
    script = {**EQUAL, "scenario": "script"}
    publish("own", mlp=script, source={"digest": "a" * 64})
    for name in ("x", "y"):
        publish(name, mlp=script, source={"digest": "b" * 64})
    (published / "others.toml").write_text('x = "Lab"\ny = "Lab"\n')
    site = read_site(published)
    assert [fact.reproduced for fact in site.facts] == [1]
    assert [[cell.study.name for cell in trend.cells] for trend in site.trends] == [["x", "y"]]


def test_runs_that_were_not_compared_agree_with_nothing(published: Path, publish: Publish) -> None:
    """A cell with one run, or whose runs failed, is in no trend."""
    alone = {**EQUAL, "verdict": "not tested", "differ_of": 1}
    for name in ("a", "b"):
        publish(name, mlp=alone)
    assert read_site(published).trends == []


@pytest.mark.parametrize("text", ["a = ", "a = 5", '[a]\nb = "c"'])
def test_damaged_notes_are_named(published: Path, publish: Publish, text: str) -> None:
    """The file is named, and no site is made."""
    publish("a")
    (published / "superseded.toml").write_text(text)
    done = make(published)
    assert done.returncode == BAD_REQUEST
    assert "superseded.toml" in done.stderr


def test_a_site_among_the_studies_is_refused(published: Path, publish: Publish) -> None:
    """It would become a part of itself."""
    publish("a")
    done = make(published, "results/published/site")
    assert done.returncode == BAD_REQUEST
    assert "is inside of results/published" in done.stderr


def test_without_a_study_nothing_is_made(published: Path) -> None:
    """The error says how a study is published."""
    done = make(published)
    assert done.returncode == BAD_REQUEST
    assert "has no study that can be read; `python -m harness publish" in done.stderr
    assert not (published.parents[1] / "site").exists()
