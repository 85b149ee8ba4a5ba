"""The numbers: declared once, bounded, and asked for only when somebody looks."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import mimo
from mimo.observability.metrics import MOST_TOOLS, Metrics


def test_two_sets_of_metrics_never_meet() -> None:
    one, other = Metrics(), Metrics()
    one.called("memory_search", "ok", 0.01)
    assert b'mimo_calls_total{outcome="ok",tool="memory_search"} 1.0' in one.render()
    assert b"memory_search" not in other.render()


def test_every_name_begins_with_mimo_and_says_its_unit() -> None:
    metrics = Metrics()
    declared = re.findall(rb"^# TYPE (\S+) (\S+)", metrics.render(), re.MULTILINE)
    assert len(declared) > 40
    for name, type_ in declared:
        assert name.startswith(b"mimo_"), name
        if type_ == b"counter":
            assert name.endswith(b"_total"), name
    assert len({name for name, _ in declared}) == len(declared)


def test_every_number_is_told_by_somebody() -> None:
    """What nobody counts would stand at nothing for ever, and be believed."""
    source = inspect.getfile(Metrics)
    numbers = set(re.findall(r"self\.(\w+) = (?:counter|gauge|histogram)\(", Path(source).read_text()))
    mine = Path(source).read_text().partition("def called(")[2]
    others = [each.read_text() for each in Path(mimo.__file__).parent.rglob("*.py") if str(each) != source]
    told = set(re.findall(r"\.(\w+)\b", "\n".join([mine, *others])))
    assert len(numbers) > 40
    assert numbers - told == set()


def test_tools_that_are_not_there_share_one_label() -> None:
    metrics = Metrics()
    for _ in range(5):
        metrics.called(None, "unknown_tool", 0.0)
    assert b'mimo_calls_total{outcome="unknown_tool",tool="(unknown)"} 5.0' in metrics.render()


def test_labels_stay_bounded_however_many_tools_come_and_go() -> None:
    metrics = Metrics()
    for number in range(MOST_TOOLS + 300):
        metrics.called(f"tool_{number}", "ok", 0.0)
    text = metrics.render()
    assert text.count(b"mimo_calls_total{") == MOST_TOOLS + 1
    assert b'mimo_calls_total{outcome="ok",tool="(other)"} 300.0' in text


def test_what_changes_all_the_time_is_asked_for_when_somebody_looks() -> None:
    metrics = Metrics()
    asked: list[int] = []

    def refresh() -> None:
        asked.append(1)
        metrics.sessions.labels("socket").set(3)

    metrics.before_render(refresh)
    assert not asked
    assert b'mimo_sessions{door="socket"} 3.0' in metrics.render()
    assert len(asked) == 1


def test_importing_the_module_does_not_import_prometheus() -> None:
    code = "import sys, mimo.observability.metrics; assert 'prometheus_client' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
