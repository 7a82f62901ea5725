"""The report and its evidence as plain text: what a terminal without colours shows."""

import textwrap

from worker.domain.report import Citation, Evidence, Report, RootCause, SubAgent
from worker.errors import NotFoundError
from worker.reporting import words
from worker.reporting.inert import one_line, show_hidden
from worker.reporting.quoting import readable

WIDTH = 100


def render_plain(report: Report) -> str:
    """Render the report briefly: the cause and its evidence first, then what is not known."""
    sections = [
        _heading(report),
        *(_cause(n, cause) for n, cause in enumerate(report.root_causes, 1)),
        _listing("Not known", [f"{g.wanted}: {g.reason}" for g in report.gaps] or ["no gap was recorded"]),
        _listing("Claims that did not hold", [f"{f.claim}: {f.problem}" for f in report.check_failures]),
        _verification(report),
        _listing("Impact", [report.impact] if report.impact else []),
        _listing("Contributing", [_cited(f.statement, f.evidence) for f in report.contributing_factors]),
        _listing("Timeline (UTC)", [_moment(report, n) for n in range(len(report.timeline))]),
        _listing("Ruled out", [_cited(f"{r.hypothesis}: {r.reason}", r.evidence) for r in report.ruled_out]),
        _listing("Sub-agents", [_sub_agent(s) for s in report.sub_agents]),
        _suggestions(report),
        _listing("Denied by the guardrails", [f"{d.tool}: {d.command} ({d.layer}: {d.reason})" for d in report.denied]),
        _footer(report),
    ]
    return show_hidden("\n\n".join(section for section in sections if section) + "\n")


def render_evidence_plain(report: Report, evidence_id: str) -> str:
    """Render one result that the report cites; `NotFoundError` where it has none of this id."""
    found = next((e for e in report.evidence if e.id == evidence_id), None)
    if found is None:
        known = ", ".join(e.id for e in report.evidence) or "none"
        raise NotFoundError(f"no evidence {one_line(evidence_id)} in this report; it has: {known}")
    cited = ", ".join(citing_claims(report).get(evidence_id, ())) or "nothing"
    lines = [f"{one_line(found.id)} {one_line(found.tool)}: {one_line(found.status)}", *_facts(found)]
    return show_hidden("\n".join((*lines, f"cited by: {cited}", "", words.spread(found.excerpt).rstrip(), "")))


def citing_claims(report: Report) -> dict[str, list[str]]:
    """Return, for each evidence id, the claims that cite it, in the report's order."""
    claims: list[tuple[str, tuple[Citation, ...]]] = [
        *((f"root cause {n}", c.evidence) for n, c in enumerate(report.root_causes, 1)),
        *((f"factor {n}", f.evidence) for n, f in enumerate(report.contributing_factors, 1)),
        *((f"ruled out {n}", r.evidence) for n, r in enumerate(report.ruled_out, 1)),
        *((f"check {c.cause}", c.evidence) for c in (report.verification.checks if report.verification else ())),
        *(
            (f"timeline {words.clock(t.at)}", (Citation(evidence_id=t.evidence_id),))
            for t in report.timeline
            if t.evidence_id
        ),
    ]
    citing: dict[str, list[str]] = {}
    for claim, citations in claims:
        for evidence_id in dict.fromkeys(c.evidence_id for c in citations):
            citing.setdefault(evidence_id, []).append(claim)
    return citing


def _facts(evidence: Evidence) -> list[str]:
    facts = [f"arguments: {one_line(words.arguments_line(evidence.arguments)) or 'none'}"]
    if evidence.window:
        facts.append(f"window: {words.span(evidence.window)}")
    if evidence.artifact_id:
        facts.append(f"whole result: {one_line(evidence.artifact_id)}")
    return facts


def _heading(report: Report) -> str:
    verdict = f"{words.VERDICT_TITLES[report.verdict].upper()} ({words.CONFIDENCE_WORDS[report.confidence]})"
    where = f" on {one_line(report.service)}" if report.service else ""
    lines = [verdict, _wrapped(f"{report.title} [{report.severity}{where}]")]
    if report.partial:
        lines.append(_wrapped(f"Partial: {report.partial}."))
    if lowered := words.lowered_line(report):
        lines.append(_wrapped(lowered))
    return "\n".join((*lines, "", _wrapped(report.summary)))


def _verification(report: Report) -> str:
    found = report.verification
    if found is None:
        return ""
    checks = [_cited(f"{words.check_title(c)}: {c.reason}", c.evidence) for c in found.checks]
    return _listing(
        one_line(words.verification_title(found)),
        [*checks, *(line for line in (found.problem, words.unanswered_line(report)) if line)],
    )


def _sub_agent(sub_agent: SubAgent) -> str:
    facts = f"{words.sub_agent_facts(sub_agent)}, {sub_agent.model}"
    return f"{sub_agent.role} ({facts}): {sub_agent.purpose} {words.found_line(sub_agent)}"


def _cause(number: int, cause: RootCause) -> str:
    lines = [f"Root cause {number}: {one_line(cause.entity)} ({one_line(words.category_words(cause))})"]
    lines.append(_wrapped(cause.statement, indent="  "))
    if cause.change_id:
        lines.append(_wrapped(f"change {cause.change_id}", indent="  "))
    lines += [_wrapped(hop, indent="  → ") for hop in cause.causal_chain]
    lines += [_wrapped(f"{_citation(c)}", indent="  evidence ") for c in cause.evidence]
    if not cause.evidence:
        lines.append("  no evidence holds this claim")
    return "\n".join(lines)


def _citation(citation: Citation) -> str:
    return f"[{citation.evidence_id}] “{readable(citation.quote)}”" if citation.quote else f"[{citation.evidence_id}]"


def _cited(text: str, citations: tuple[Citation, ...]) -> str:
    ids = "".join(f" [{i}]" for i in dict.fromkeys(c.evidence_id for c in citations))
    return f"{text}{ids}"


def _moment(report: Report, index: int) -> str:
    entry = report.timeline[index]
    source = f" [{entry.evidence_id}]" if entry.evidence_id else ""
    return f"{words.utc(entry.at).removesuffix(' UTC')} {entry.text}{source}"


def _suggestions(report: Report) -> str:
    lines = []
    for suggestion in report.suggestions:
        lines.append(_wrapped(f"{suggestion.action} (risk: {suggestion.risk})", indent="  - "))
        lines += [f"    $ {one_line(suggestion.command)}"] if suggestion.command else []
        lines += [f"    undo: {one_line(suggestion.undo)}"] if suggestion.undo else []
    return "\n".join(("Suggestions (nothing was run)", *lines)) if lines else ""


def _listing(title: str, items: list[str]) -> str:
    return "\n".join((title, *(_wrapped(item, indent="  - ") for item in items))) if items else ""


def _footer(report: Report) -> str:
    models = ", ".join(f"{role} {model}" for role, model in report.models.items()) or "no model"
    took = f"{words.several(report.turns, 'turn')}, {words.duration(report.duration_s)}"
    lines = [
        _wrapped(f"{models}; {took}, {words.total_cost(report.usage)}"),
        *(_wrapped(note) for note in report.notes),
    ]
    if report.evidence:
        show = f"rca report show {one_line(report.investigation_id)} --evidence {one_line(report.evidence[0].id)}"
        lines.append(f"Open evidence: {show}   ({len(report.evidence)} results)")
    return "\n".join(lines)


def _wrapped(text: str, *, indent: str = "") -> str:
    return textwrap.fill(
        one_line(text),
        width=WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )
