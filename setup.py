"""The compiled module, and that we can live without it.

``MIMO_CORE_BUILD=0`` never compiles, ``1`` insists (a failing compiler fails the install),
anything else tries and falls back to the NumPy twin. ``MIMO_CORE_DEBUG=1`` adds bounds checks
and the annotated page of each ``.pyx`` beside it.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

CHOICE = os.environ.get("MIMO_CORE_BUILD", "")
DEBUG = os.environ.get("MIMO_CORE_DEBUG", "") == "1"

# -fno-math-errno lets sqrt become one instruction. No -ffast-math: NaN and infinity are ours to
# answer; no -march: instruction sets are chosen at import, from a table of function pointers.
COMPILE = ["-O0", "-g"] if DEBUG else ["-O3", "-fno-math-errno"]
SANITIZE = os.environ.get("MIMO_CORE_SANITIZE", "")  # e.g. "address,undefined", for the kernels' tests
if SANITIZE:
    COMPILE += ["-O1", f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g"]
# The AVX-512 kernels through SIMDe's headers and the AMX ones through our own, for machines without: slow, for tests.
if os.environ.get("MIMO_CORE_EMULATE") == "1":
    COMPILE += ["-DMIMO_EMULATE", "-Wno-psabi"]


def extensions() -> list[Extension]:
    if CHOICE == "0":
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if CHOICE == "1":
            raise
        return []
    sources = sorted(Path("mimo_core").glob("*.pyx"))
    headers = sorted(
        str(path) for suffix in ("h", "inc", "pxi") for path in Path("mimo_core").glob(f"*.{suffix}")
    )
    if not sources:
        return []
    built = cythonize(
        [
            Extension(
                f"mimo_core.{path.stem}",
                [str(path)],
                depends=headers,
                extra_compile_args=COMPILE,
                extra_link_args=[f"-fsanitize={SANITIZE}"] if SANITIZE else [],
            )
            for path in sources
        ],
        annotate=DEBUG,
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": DEBUG,
            "embedsignature": True,
            "freethreading_compatible": True,
        },
    )
    for extension in built:  # cythonize() drops the flag when it is given to Extension()
        extension.optional = CHOICE != "1"
    return built


setup(ext_modules=extensions())
