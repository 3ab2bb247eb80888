"""Scripts that replace their own process, as to start again with a PYTHONHASHSEED.

An exec would end the harness's run with the process. Here it ends the script instead, and then the
worker is replaced by a new one, with the variables that the script has set, which runs it again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.core.errors import ProcessReplaced
from harness.core.patch import patched


@contextmanager
def follow_exec(script: Path, module: str | None, arguments: Sequence[str]) -> Iterator[None]:
    """In this context, ``os.execv`` and all that rest on it raise ProcessReplaced.

    Not in a process that the script has forked: that is how ``os.spawnv`` starts a program. Raises
    RuntimeError if the new program is not the script with the same arguments.
    """
    process = os.getpid()

    def follow(original: Callable[..., Any]) -> Callable[..., Any]:
        def execute(path: Any, words: Sequence[Any], *variables: Mapping[Any, Any]) -> Any:
            if os.getpid() != process:
                original(path, words, *variables)
            raise ProcessReplaced(
                [os.fsdecode(word) for word in words],
                {os.fsdecode(k): os.fsdecode(v) for k, v in (*variables, os.environ)[0].items()},
            )

        return execute

    try:
        with patched(os, "execv", follow), patched(os, "execve", follow):
            yield
    except ProcessReplaced as replaced:
        words = replaced.words
        if words is not None and not _is_same(words, script, module, arguments):
            raise RuntimeError(
                f"the script replaced its process by another program ({' '.join(words)}), "
                "which cannot be observed; run that program instead"
            ) from None
        raise


def _is_same(
    words: Sequence[str], script: Path, module: str | None, arguments: Sequence[str]
) -> bool:
    """Whether a command, such as ``python -u train.py --lr 1``, runs the script once more."""
    if not Path(words[0]).name.startswith("python"):
        return False
    end = len(words) - len(arguments)
    if end < 2 or list(words[end:]) != list(arguments):
        return False
    program = words[end - 1]
    if module is not None:
        origin = getattr(sys.modules["__main__"], "__file__", None)
        return list(words[end - 2 : end]) == ["-m", module] or _is_file(program, origin)
    return _is_file(program, script)


def _is_file(word: str, file: str | Path | None) -> bool:
    return file is not None and Path(word).exists() and Path(word).samefile(file)
