"""`mimo doctor`: problems first, each with its cure; with --fix, what can be mended safely is mended."""

from mimo.cli.examinations import NOTE, PROBLEM, Finding, examine
from mimo.cli.procedure_examinations import examine_procedures
from mimo.cli.skill_examinations import examine_skills
from mimo.cli.terminal import FAILED, OK, Failed, foreign, paint, say, say_json
from mimo.cli.words import Words

_SIGNS = {PROBLEM: ("✗", "red"), NOTE: ("⚠", "yellow")}


def doctor(words: Words) -> int:
    findings = _examined(words)
    mended: list[str] = []
    if words.has("fix"):
        not_mended = {finding.says: why for finding in findings if (why := _mend(finding, mended))}
        if mended:
            findings = _examined(words)  # what is told is how things are now
        findings = [
            finding
            if finding.says not in not_mended
            else Finding(
                finding.area, finding.state, f"{finding.says} ({not_mended[finding.says]})", finding.cure
            )
            for finding in findings
        ]
    problems = [finding for finding in findings if finding.state == PROBLEM]
    if words.has("json"):
        say_json(
            {
                "healthy": not problems,
                "mended": mended,
                "findings": [
                    {
                        "area": finding.area,
                        "state": finding.state,
                        "says": finding.says,
                        "cure": finding.cure if finding.state != "ok" else "",
                        "fixable": finding.fix is not None,
                    }
                    for finding in findings
                ],
            }
        )
    else:
        _tell(findings, mended)
    return FAILED if problems else OK


def _examined(words: Words) -> list[Finding]:
    return [*examine(words.home), *examine_skills(words.home), *examine_procedures(words.home)]


def _mend(finding: Finding, mended: list[str]) -> str:
    """Mend it if that is safe. Gives why it could not be done, or nothing."""
    if finding.fix is None or finding.state == "ok":
        return ""
    try:
        finding.fix()
    except (OSError, Failed) as error:
        return f"not mended: {error}"
    mended.append(finding.says)
    return ""


def _tell(findings: list[Finding], mended: list[str]) -> None:
    for says in mended:
        say(f"{paint('mended', 'green')}: {foreign(says)}")
    for state in (PROBLEM, NOTE):
        for finding in findings:
            if finding.state == state:
                sign, style = _SIGNS[state]
                say(f"{paint(sign, style)} {paint(finding.area, 'bold')}: {foreign(finding.says)}")
                if finding.cure:
                    say(
                        f"    {paint('cure', 'cyan')}: {finding.cure}{'  (or: mimo doctor --fix)' if finding.fix else ''}"
                    )
    if any(finding.state != "ok" for finding in findings):
        say()
    wide = max(len(finding.area) for finding in findings)
    for finding in findings:
        if finding.state == "ok":
            say(f"{paint('✓', 'green')} {finding.area:<{wide}}  {foreign(finding.says)}")
    problems = sum(finding.state == PROBLEM for finding in findings)
    say(f"\n{problems} problem{'s' * (problems != 1)}" if problems else "\nall is well")
