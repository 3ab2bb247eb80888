"""The command of a training, typed after `--`, as overrides of the scenario `script`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from harness.core.command_line import split_words
from harness.core.errors import UsageError

EXAMPLE = "`-- python train.py --lr=0.1`"
LAUNCHERS = "python, torchrun, accelerate launch, or a .py file"
# A launcher's options, without dashes and underscores: for the number of processes, and for a
# single machine.
PROCESSES = {"torchrun": "nprocpernode", "accelerate": "numprocesses"}
MACHINES = {("nnodes", "1"), ("nnodes", "1:1"), ("nummachines", "1")}
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")  # of a variable, before a command in a shell


def split_program(words: Sequence[str]) -> list[str]:
    """Return the words with the command after `--`, if there is one, as overrides.

    Without a setting the training runs as it is typed. Raises UsageError if the command is empty or
    cannot be followed.
    """
    if "--" not in words:
        return list(words)
    position = list(words).index("--")
    typed = list(words[:position])
    names_setting = any(word.startswith(("determinism=", "matrix=")) for word in typed)
    setting = [] if names_setting else ["determinism=none"]
    return [*setting, *typed, "scenario=script", *_overrides(list(words[position + 1 :]))]


def _overrides(command: list[str]) -> list[str]:
    count = next((n for n, word in enumerate(command) if not ASSIGNMENT.match(word)), len(command))
    variables, command = command[:count], command[count:]
    if not command:
        raise UsageError(f"`--` needs the command of your training after it, as in {EXAMPLE}")
    name, rest, processes = Path(command[0]).name, command[1:], 1
    is_python = bool(re.fullmatch(r"python[\d.]*", name))
    if is_python and rest[:1] == ["-u"]:
        rest = rest[1:]  # output is never buffered here
    if is_python and rest[:2] == ["-m", "torch.distributed.run"]:
        processes, rest = _split_launcher("torchrun", rest[2:])
    elif name == "torchrun":
        processes, rest = _split_launcher("torchrun", rest)
    elif name == "accelerate" and rest[:1] == ["launch"]:
        processes, rest = _split_launcher("accelerate", rest[1:])
    elif is_python:
        pass
    elif name.endswith(".py"):
        rest = command
    else:
        raise UsageError(f"-- {command[0]}: a training is started by {LAUNCHERS}")
    return [
        *_program(rest),
        *([f"scenario.processes={processes}"] if processes > 1 else []),
        *([f"scenario.environment={_mapping(variables)}"] if variables else []),
    ]


def _mapping(assignments: Sequence[str]) -> str:
    """Return variables, each as ``NAME=value``, as a mapping in Hydra's grammar."""
    pairs = (word.partition("=") for word in assignments)
    return "{" + ",".join(f"{name}:{quote(value)}" for name, _, value in pairs) + "}"


def _program(words: list[str]) -> list[str]:
    """The overrides of a program and its arguments, as they follow `python`."""
    option, words = ("module", words[1:]) if words[:1] == ["-m"] else ("path", words)
    if option == "module" and words[:1] == ["torch.distributed.launch"]:
        raise UsageError("-- python -m torch.distributed.launch: write `-- torchrun …` instead")
    if not words:
        raise UsageError(f"the command after `--` names no program; write it as in {EXAMPLE}")
    if words[0].startswith("-"):
        raise UsageError(
            f"-- … {words[0]}: options of Python itself are not supported; write the command as in "
            f"{EXAMPLE}"
        )
    arguments = ",".join(map(quote, words[1:]))
    return [f"scenario.{option}={quote(words[0])}", f"scenario.args=[{arguments}]"]


def _split_launcher(launcher: str, words: list[str]) -> tuple[int, list[str]]:
    """Return the number of processes, and the words from `-m` or the program on.

    Raises UsageError for an option whose effect a run here would not have.
    """
    processes, rest = 1, list(words)
    while rest and rest[0].startswith("--"):
        option, equals, value = rest.pop(0).partition("=")
        name = re.sub("[-_]", "", option)
        if (launcher, name) == ("torchrun", "standalone"):  # every run is
            continue
        value = value if equals or not rest else rest.pop(0)
        if (name, value) in MACHINES:
            continue
        if name != PROCESSES[launcher]:
            raise UsageError(
                f"-- {launcher} … {option}: only the number of processes can be given; "
                "runs are started on this machine, as `torchrun --standalone` does"
            )
        if not value.isdigit() or int(value) < 1:
            raise UsageError(f"-- {launcher} … {option}={value}: must be a number of at least 1")
        processes = int(value)
    return processes, rest


def split_replay(words: Sequence[str]) -> list[str]:
    """Turn ``--save '--steps 6' --resume '--steps 12'`` before any ``--`` into overrides.

    Raises UsageError if one of them has no value or is not a list of words.
    """
    rest, program_words = split_words(words)
    result = list[str]()
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if option not in ("--save", "--resume"):
            if not equals and not option.startswith("-"):
                raise UsageError(
                    f"{option}: expected an override, --save or --resume; the arguments of --save "
                    "and --resume are one word each, in quotes, as in --save '--steps 6'"
                )
            result.append(f"{option}{equals}{value}")
            continue
        text = value if equals or not rest else rest.pop(0)
        try:
            arguments = ",".join(map(quote, shlex.split(text)))
        except ValueError as error:  # an open quote
            raise UsageError(f"{option} {text}: {error}") from error
        result.append(f"replay.{option[2:]}=[{arguments}]")
    return [*result, *program_words]


def quote(word: str) -> str:
    """Return a word as a string of Hydra's grammar, without interpolation.

    OmegaConf reads `${` as text after an odd number of backslashes. In Hydra's quoted strings a
    backslash escapes only a quote, so those before a quote are doubled, also before the last one.
    """
    literal = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", word)
    escaped = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", literal)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{escaped[len(escaped) - trailing :]}'"
