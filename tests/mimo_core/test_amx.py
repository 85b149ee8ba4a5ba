"""AMX is offered only where it is granted and right; its products hold at odd sizes, wherever a compiler can show it."""

import ctypes
import os
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

try:
    from mimo_core import _core
except ImportError:  # not compiled: the twin is all there is
    _core = None

KERNELS = Path(__file__).parents[2] / "mimo_core"
COMPILER = shutil.which(os.environ.get("CC", "cc"))
PROGRAM = """
#include "amx.h"
int refusal(void) { return mimo_amx_refusal(); }
void lay(const float *panel, int64_t rows, uint16_t *tiles) { mimo_lay_tile(panel, rows, tiles); }
void product(const float *a, int64_t rows, const uint16_t *tiles, const float *bias, int64_t outputs,
             int64_t inputs, uint16_t *halves, float *out) {
    mimo_amx_product(a, rows, tiles, bias, outputs, inputs, halves, out);
}
"""

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or not COMPILER or not (KERNELS / "amx.h").exists(),
    reason="needs a compiler for x86-64",
)


def compiled(folder: Path, *flags: str) -> Path:
    source, library = folder / "amx.c", folder / "amx.so"
    source.write_text(PROGRAM)
    command = [str(COMPILER), "-O2", "-Wno-psabi", "-shared", "-fPIC", f"-I{KERNELS}", *flags]
    subprocess.run([*command, str(source), "-o", str(library)], check=True, timeout=60)
    return library


def emulated(folder: Path, *flags: str) -> ctypes.CDLL:
    if "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("the emulation needs AVX2")
    return ctypes.CDLL(str(compiled(folder, "-DMIMO_EMULATE", *flags)))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return emulated(tmp_path_factory.mktemp("right"))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def size(number: int) -> ctypes.c_int64:
    return ctypes.c_int64(number)


def test_the_real_instructions_compile(tmp_path: Path) -> None:
    library = compiled(tmp_path)
    if shutil.which("objdump"):
        listing = subprocess.run(["objdump", "-d", str(library)], capture_output=True, text=True, check=True)
        assert {"ldtilecfg", "tdpbf16ps", "tilerelease"} <= set(listing.stdout.split())


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 31, 32, 33, 64, 70])
def test_a_product_of_any_number_of_rows_is_right_and_stays_in_its_place(
    library: ctypes.CDLL, rows: int
) -> None:
    random, inputs, outputs = np.random.default_rng(rows), 96, 64
    a = random.standard_normal((rows, inputs), np.float32)
    a[0, :4] = 1e-40  # subnormals count as zero
    panels = random.standard_normal((outputs // 16, inputs, 16), np.float32)
    bias = random.standard_normal(outputs, np.float32)
    tiles = np.empty(panels.size, np.uint16)
    for at, panel in enumerate(panels):
        library.lay(pointer(panel), size(inputs), pointer(tiles[at * panel.size :]))
    halves = np.full((rows + 31) // 32 * 32 * inputs + 1, 7, np.uint16)
    out = np.full(rows * outputs + 1, 7, np.float32)
    library.product(
        pointer(a),
        size(rows),
        pointer(tiles),
        pointer(bias),
        size(outputs),
        size(inputs),
        pointer(halves),
        pointer(out),
    )
    weights = panels.transpose(1, 0, 2).reshape(inputs, outputs)
    slack = np.abs(a) @ np.abs(weights) / 128
    assert (np.abs(out[:-1].reshape(rows, outputs) - (a @ weights + bias)) <= slack + 1e-6).all()
    assert out[-1] == halves[-1] == 7


def test_a_processor_that_multiplies_wrong_is_not_used(library: ctypes.CDLL, tmp_path: Path) -> None:
    assert library.refusal() == 0
    assert emulated(tmp_path, "-DMIMO_EMULATE_WRONG").refusal() != 0


@pytest.mark.skipif(not _core or "amx" in _core.isas(), reason="needs kernels on a machine without AMX")
def test_who_asks_for_amx_where_it_is_not_granted_is_told_why() -> None:
    assert _core
    with pytest.raises(ValueError, match=r"no 'amx' \(.*\); it has: "):
        _core.set_isa("amx")
