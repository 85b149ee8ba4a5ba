"""What the tests of the command line share."""

import os
import subprocess
from collections.abc import Callable

import pytest

from mimo.cli import main


@pytest.fixture
def inside(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`mimo WORDS...` without a process of its own, for cases that are many."""

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        for name in set(os.environ) - set(environ):
            monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(list(words))
        said = capsys.readouterr()
        return subprocess.CompletedProcess(["mimo", *words], code, said.out, said.err)

    return run
