"""The site says of facts and cells what the published tables say, and links what there is."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from harness.core.exit_codes import BAD_REQUEST, DONE
from harness.core.sums import write_sums
from harness.site.build import read_site
from harness.site.study_tables import read_tables, slug
from tests.site.conftest import EQUAL, VARIES, Publish, make, read

FACT = "put-float32-cpu-torch2.13.0"
TREND = "mlp-seed-cpu"


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


def test_different_names_have_different_addresses() -> None:
    """Names that differ only in what an address cannot hold do not share a page."""
    names = ["a b", "a (b)", "A", "a=b", "a", "x" * 300, "x" * 301, "é", "è"]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("a b", "c") != slug("a", "b c")
    assert all(len(slug(name, name)) < 200 for name in names)


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
