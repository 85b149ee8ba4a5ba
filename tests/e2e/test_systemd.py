"""The units under `ops/systemd`: read by the real systemd, and booted by it where root can."""

import json
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
UNITS = HOUSE / "ops" / "systemd"
BOOT = Path(__file__).parent / "boot"

needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")


@needs_analyze
@pytest.mark.parametrize("kind", ["system", "user"])
def test_systemd_knows_every_key_of_our_units(kind: str, tmp_path: Path) -> None:
    # The exit code stays 0 for keys that are not known, so what is said decides.
    units = sorted(str(unit) for unit in (UNITS / kind).glob("mimo.*") if unit.suffix != ".sysusers")
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--{kind}", *units],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
    ).stderr
    assert "Unknown" not in said
    assert "Failed to parse" not in said


@needs_analyze
def test_the_system_unit_is_hardened() -> None:
    judged = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--threshold=15",
            str(UNITS / "system" / "mimo.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-500:]


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("systemd-nspawn"),
    reason="booting systemd needs root and systemd-container",
)
def test_a_booted_systemd_keeps_mimo_answering(tmp_path: Path) -> None:
    """Socket activation, kill -9, reload, a stuck process and a clean stop, under systemd as process 1."""
    packages = [
        path for path in sys.path if path.endswith("site-packages") and path not in site.getusersitepackages()
    ]
    launcher = tmp_path / "mimo"
    launcher.write_text(
        "#!/bin/sh\n"
        f"export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/house:{':'.join(f'/opt/site{n}' for n in range(len(packages)))}\n"
        'export PYTHONHOME=/opt/python PYTHONDONTWRITEBYTECODE=1\nexec /opt/python/bin/python3 -m mimo "$@"\n'
    )
    launcher.chmod(0o755)
    (tmp_path / "watchdog.conf").write_text("[Service]\nWatchdogSec=2s\n")
    (tmp_path / "probe.service").write_text(
        "[Unit]\nSuccessAction=exit\nFailureAction=exit\n"
        "[Service]\nType=oneshot\nStandardOutput=file:/report/out\nStandardError=file:/report/err\n"
        "Environment=LD_LIBRARY_PATH=/opt/python/lib PYTHONHOME=/opt/python\n"
        "ExecStart=/opt/python/bin/python3 /opt/boot/probe.py\n"
    )
    (tmp_path / "probe.target").write_text(
        "[Unit]\nRequires=basic.target probe.service\nAfter=basic.target\n"
    )
    report = tmp_path / "report"
    report.mkdir()
    etc = "/etc/systemd/system"
    bound = {
        sys.base_prefix: "/opt/python",
        str(HOUSE): "/opt/house",
        str(BOOT): "/opt/boot",
        str(launcher): "/opt/mimo/bin/mimo",
        str(UNITS / "system" / "mimo.service"): f"{etc}/mimo.service",
        str(UNITS / "system" / "mimo.socket"): f"{etc}/mimo.socket",
        str(UNITS / "system" / "mimo.sysusers"): "/etc/sysusers.d/mimo.conf",
        str(tmp_path / "watchdog.conf"): f"{etc}/mimo.service.d/watchdog.conf",
        str(tmp_path / "probe.service"): f"{etc}/probe.service",
        str(tmp_path / "probe.target"): f"{etc}/probe.target",
        **{path: f"/opt/site{n}" for n, path in enumerate(packages)},
    }
    booted = subprocess.run(
        [
            "systemd-nspawn",
            "--quiet",
            "--directory=/",
            "--volatile=yes",
            f"--machine=mimo-boot-{os.getpid()}",
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--console=pipe",
            *(f"--bind-ro={outside}:{inside}" for outside, inside in bound.items()),
            f"--bind={report}:/report",
            "--boot",
            "systemd.unit=probe.target",
            "systemd.firstboot=off",
        ],
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    out = (report / "out").read_text() if (report / "out").exists() else ""
    assert out, (
        f"{booted.stdout[-3000:]}\n{booted.stderr[-1000:]}\n{(report / 'err').read_text()[-3000:] if (report / 'err').exists() else ''}"
    )
    seen = json.loads(out)
    print(json.dumps(seen, indent=1))
    assert seen["active before"] == "inactive"
    assert seen["active after"] == "active"
    assert len({seen["pid"], seen["another pid"], seen["a third pid"]}) == 3
    assert seen["refused"] == 0
    assert seen["same pid after reload"]
    assert seen["watchdog took"] < 10
    assert seen["result of the stop"] == "success"
    assert seen["state directory"] == "0o700"
