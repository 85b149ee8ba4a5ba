"""Embeddings of real sentences for bench_vectors.py, from what an installed system has to read: offline.

    python bench/real_vectors.py OUT.npy [--count 100000] [--sentences FILE.txt] [--folders DIR ...]
                                         [--most-of-one 30] [--most-words 60]

Descriptions of the distribution's packages (`apt-cache dumpavail`), man pages, the docstrings of
Python's library and of installed packages, and the documents of given folders are split into sentences, made
distinct, shuffled with a fixed seed and embedded with the model in the box, a thread for each core: some ten
minutes of processor time for 100,000. What a file or package gives is bounded, so that no one manual is the
whole set; a million needs a wider bound, and folders. Where a source is missing, the others are used.
"""

# ruff: noqa: E402  the house is found before it is imported

from __future__ import annotations

import argparse
import ast
import gzip
import hashlib
import html
import os
import random
import re
import subprocess
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

HOUSE = Path(__file__).resolve().parents[1]
sys.path.append(str(HOUSE))

from mimo_core.encoder import Encoder

MOST_OF_ONE = 30  # sentences of one file
FEWEST_WORDS, MOST_WORDS = 4, 60  # of a sentence
LARGEST = 1 << 25  # a document beyond 32 MiB is data
MOST_PAGES = 100  # of one family of commands, named by the first word: some have a page for every verb
BLOCK = 2048  # texts between two lines of progress


def package_descriptions() -> Iterator[list[str]]:
    try:
        listed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return
    for found in re.finditer(r"^Description(?:-en)?: (.*(?:\n .*)*)", listed, re.MULTILINE):
        first, _, rest = found[1].partition("\n")
        yield [first, *re.split(r"\n \.\n", rest)]


def man_pages() -> Iterator[list[str]]:
    family = Counter[str]()
    for page in sorted(Path("/usr/share/man").glob("man[1-8]/*.gz")):
        first = re.split(r"[-_.]", page.name)[0]
        family[first] += 1
        if family[first] > MOST_PAGES:
            continue
        try:
            yield paragraphs_of_roff(gzip.decompress(page.read_bytes()).decode("utf-8", "ignore"))
        except OSError:
            continue


def paragraphs_of_roff(source: str) -> list[str]:
    text: list[str] = []
    for line in source.splitlines():
        if line.startswith((".B", ".I", ".R")) and not line.startswith((".IP", ".RS", ".RE", ".IX")):
            text.append(line.partition(" ")[2].replace('"', ""))
        elif line.startswith((".", "'")):
            text.append("\n\n")
        else:
            text.append(line)
    plain = re.sub(r"\\f(?:\[\w*\]|\(..|.)", "", " ".join(text))
    plain = re.sub(r"\\-", "-", plain).replace("\\(aq", "'").replace("\\e", "\\")
    return re.split(r"\n\s*\n", re.sub(r"\\(?:\(..|\[\w+\]|.)", " ", plain))


def docstrings() -> Iterator[list[str]]:
    folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}
    for folder in sorted(folders):
        for module in sorted(Path(folder).rglob("*.py")):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    tree = ast.parse(module.read_bytes())
            except (SyntaxError, ValueError, OSError, RecursionError):
                continue
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
            yield [part for text in found if text for part in re.split(r"\n\s*\n", text)]


def documents(folder: Path) -> Iterator[list[str]]:
    """Texts, HTML and what was packed of them; data and programs have too few letters to pass as sentences."""
    for name in sorted(folder.rglob("*")):
        kind = next((end for end in reversed(name.suffixes) if end != ".gz"), "")
        if kind not in {"", ".txt", ".md", ".rst", ".html", ".index", ".dz"} or not name.is_file():
            continue
        try:
            if name.stat().st_size > LARGEST:
                continue
            source = name.read_bytes()
            text = (gzip.decompress(source) if source[:2] == b"\x1f\x8b" else source).decode()
        except (OSError, EOFError, ValueError):
            continue
        if kind == ".html":
            text = re.sub(r"<(?:p|li|td|dt|dd|h[1-6]|div|pre|br)\b", "\n\n<", text, flags=re.IGNORECASE)
            text = html.unescape(re.sub(r"<[^>]*>", "", text))
        yield re.split(r"\n\s*\n", text)


def sentences(paragraphs: Iterable[str], most_words: int) -> Iterator[str]:
    """What reads like a sentence: some words, mostly letters."""
    for paragraph in paragraphs:
        for one in re.split(r"(?<=[.!?;:])\s+(?=[A-Z\"'(])", " ".join(paragraph.split())):
            letters = sum(sign.isalpha() or sign == " " for sign in one)
            if one.startswith((">>>", "$")):
                continue
            if FEWEST_WORDS <= len(one.split()) <= most_words and letters >= 0.8 * len(one):
                yield one


def gathered(count: int, folders: Sequence[Path], most_of_one: int, most_words: int) -> list[str]:
    chosen = random.Random(7)
    seen: set[str] = set()
    every: list[str] = []
    sources = {"packages": package_descriptions(), "man": man_pages(), "python": docstrings()}
    for name, source in (sources | {str(folder): documents(folder) for folder in folders}).items():
        before = len(every)
        for paragraphs in source:
            every_one = dict.fromkeys(sentences(paragraphs, most_words))
            found = [one for one in every_one if one.lower() not in seen]
            if len(found) > most_of_one:
                found = chosen.sample(found, most_of_one)
            seen.update(one.lower() for one in found)
            every += found
        print(f"{name}: {len(every) - before} sentences", file=sys.stderr)
    chosen.shuffle(every)
    return every[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--sentences", type=Path, help="write them down, or read them from here if it exists")
    parser.add_argument("--folders", type=Path, nargs="*", default=[], help="their documents are read, too")
    parser.add_argument("--most-of-one", type=int, default=MOST_OF_ONE, help="sentences of one file")
    parser.add_argument("--most-words", type=int, default=MOST_WORDS, help="of a sentence")
    given = parser.parse_args()
    if given.sentences and given.sentences.exists():
        texts = given.sentences.read_text().splitlines()[: given.count]
    else:
        texts = gathered(given.count, given.folders, given.most_of_one, given.most_words)
        if given.sentences:
            given.sentences.write_text("".join(f"{text}\n" for text in texts))
    encoder = Encoder(HOUSE / "mimo" / "embedding" / "model")
    rows = np.empty((len(texts), encoder.dim), np.float32)
    start = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        blocks = threads.map(encoder.embed, (texts[at : at + BLOCK] for at in range(0, len(texts), BLOCK)))
        done = 0
        for block in blocks:
            rows[done : done + len(block)] = block
            done += len(block)
            rate = done / (time.monotonic() - start)
            print(f"\r{done} of {len(texts)}, {rate:.0f} a second", end="", file=sys.stderr, flush=True)
    part = given.out.with_suffix(".part.npy")
    np.save(part, rows)
    os.replace(part, given.out)
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
    print(f"\n{given.out}: {len(texts)} sentences {digest}, model {encoder.id}", file=sys.stderr)


if __name__ == "__main__":
    main()
