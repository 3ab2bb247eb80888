"""In what two studies differ: the possible reasons for different bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.study_data import StudyData

# Facts of a manifest by the reason that they give for different bits. The rest, such as the
# operating system's kernel or the amount of memory, has never been seen to change a result.
LIBRARY = ("python", "torch", "torch_cuda", "cudnn", "numpy", "blas", "keras", "tensorflow")
PROCESSOR = ("cpu", "architecture")
THREADS = ("threads", "interop_threads")
DEVICE = ("name", "capability", "multiprocessors")


@dataclass(frozen=True)
class Difference:
    reason: str  # "different code", "different library", "different hardware", …
    what: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.what}: {self.first} and {self.second})"


def find_differences(first: StudyData, second: StudyData, scenario: str) -> list[Difference]:
    """Return the differences that may explain different bits of a scenario, code first."""
    return [
        *_differing("different code", _code(first, scenario), _code(second, scenario)),
        *_differing("different files", _folder(first), _folder(second)),
        *_differing("different library", _software(first, LIBRARY), _software(second, LIBRARY)),
        *_differing("different library", _driver(first), _driver(second)),
        *_differing("different hardware", _hardware(first), _hardware(second)),
        *_differing("different threads", _software(first, THREADS), _software(second, THREADS)),
    ]


def digests_of(study: StudyData) -> str:
    """What the digests of a study can be compared with; early studies do not name their version."""
    version = study.manifest.get("digests")
    return f"digest version {version}" if version else f"harness {_code(study, '')['harness']}"


def _differing(
    reason: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[Difference]:
    for what in dict.fromkeys([*first, *second]):
        one, other = first.get(what), second.get(what)
        if one != other:
            yield Difference(reason, what, _shown(one), _shown(other))


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    is_digest = len(text) >= 32 and all(letter in "0123456789abcdef" for letter in text)
    return text[:8] if is_digest else text


def _software(study: StudyData, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: study.manifest["software"].get(name) for name in names}


def _code(study: StudyData, scenario: str) -> dict[str, Any]:
    """The scenario's own file, and the version of the harness, which makes data and batches."""
    manifest = study.manifest
    return {
        f"file of {scenario}": manifest["sources"].get(scenario),
        "harness": f"{manifest['harness']} {manifest['machine']['git']}",
    }


def _driver(study: StudyData) -> dict[str, Any]:
    return {"driver": study.manifest["machine"].get("driver")}


def _hardware(study: StudyData) -> dict[str, Any]:
    machine, software = study.manifest["machine"], study.manifest["software"]
    facts = {name: machine.get(name) for name in PROCESSOR}
    facts["instruction set"] = software.get("cpu_capability")
    for index, device in enumerate(study.manifest["cuda"]):
        facts |= {f"cuda:{index} {name}": device.get(name) for name in DEVICE}
    return facts


def _folder(study: StudyData) -> dict[str, Any]:
    """The digest of the working directory, which holds a script's modules and data."""
    source = study.manifest.get("source")
    return {"working directory": source["digest"]} if source else {}
