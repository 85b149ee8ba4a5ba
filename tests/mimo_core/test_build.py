"""Without a compiler an install still works, on the twin; who insists on the kernels is told that they failed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (HOUSE / "setup.py").exists(), reason="not run in a checkout")


def built(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What setup.py makes of a copy of the kernels; the environment's own choices do not count."""
    pytest.importorskip("Cython")
    folder.mkdir(exist_ok=True)
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(HOUSE / name, folder)
    (folder / "pyproject.toml").write_text('[project]\nname = "kernels"\nversion = "1"\n')
    ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "_encoder.pyx")
    shutil.copytree(HOUSE / "mimo_core", folder / "mimo_core", ignore=ignored, dirs_exist_ok=True)
    ours = ("MIMO_", "CC", "CFLAGS", "LD_PRELOAD")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def runs(folder: Path) -> str:
    """Which implementation is imported there, after it has answered."""
    program = (
        # An editable install would lend its own kernels to the copy's package.
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'Editable' not in repr(f)]; "
        "import numpy, mimo_core; i = mimo_core.VectorIndex(2); i.add([7], numpy.eye(2)[:1]); "
        "assert i.search([1.0, 0.0], 1)[0].tolist() == [7]; print(mimo_core.implementation())"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MIMO_")}
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=inherited, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


@pytest.mark.parametrize("choice", ["", "0"])
def test_a_compiler_that_fails_or_is_not_asked_leaves_an_install_on_the_twin(
    tmp_path: Path, choice: str
) -> None:
    done = built(tmp_path, CC="false", MIMO_CORE_BUILD=choice)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*.so"))
    assert runs(tmp_path) == "numpy"


def test_who_insists_on_the_kernels_gets_no_install_from_a_compiler_that_fails(tmp_path: Path) -> None:
    done = built(tmp_path, CC="false", MIMO_CORE_BUILD="1")
    assert done.returncode != 0
    assert "false" in done.stderr


@pytest.mark.skipif(os.environ.get("MIMO_FAULTS") != "full", reason="compiling takes half a minute")
def test_who_insists_gets_them(tmp_path: Path) -> None:
    done = built(tmp_path, MIMO_CORE_BUILD="1")
    assert done.returncode == 0, done.stderr
    assert runs(tmp_path) == "cython"
