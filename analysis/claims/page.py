"""The verdicts as one HTML page that needs no network and prints well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from analysis.claims.catalogue import Kind
from analysis.claims.decision import Status
from analysis.claims.sentences import interval, margin, needed, number, p_of_verdict, p_value, sentence, units
from analysis.claims.verdicts import Finding, Verdict, all_of

PAGE_STYLE = """
body { font: 15px/1.45 Helvetica, Arial, "Liberation Sans", sans-serif; color: #222; max-width: 66em;
  margin: 2em auto; padding: 0 1em; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } table { font-size: 9.5px; } }
"""
STYLE = """
table { border-collapse: collapse; width: 100%; margin: .5em 0 1em; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25em .6em .25em 0; border-bottom: 1px solid #e6e6e6; }
td.n, th.n { text-align: right; white-space: nowrap; }
section { break-inside: avoid; margin: 1.6em 0; }
h2 { font-size: 17px; margin: 0 0 .2em; }
h3 { font-size: 13px; margin: .8em 0 0; color: #666; }
.badge { font-size: 13px; font-weight: bold; padding: .1em .5em; border: 1.5px solid; border-radius: .3em;
  white-space: nowrap; }
.supported { color: #00664b; }
.contradicted { color: #a33b00; }
.underpowered { color: #8a6100; }
.not-tested, .faint { color: #666; }
a { color: inherit; }
"""
PLOT = (150, 16)  # pixels of an interval's picture


def page(verdicts: Sequence[Verdict]) -> str:
    """Summary table, then a section a claim with every test, what stands beside it, and what is missing."""
    sweeps = ", ".join(dict.fromkeys(sweep for verdict in verdicts for sweep in verdict.sweeps))
    of = all_of(verdicts)
    body = [
        "<h1>The paper's claims</h1>",
        f"<p>Sweeps: {escape(sweeps)}.{f' Runs of {escape(of)}.' if of else ''} {count_verdicts(verdicts)}.</p>",
        f"<p class=faint>{escape(PROTOCOL)}</p>",
        summary(verdicts),
        *map(section, verdicts),
    ]
    head = "<meta charset=utf-8><meta name=viewport content='width=device-width'><title>Claims</title>"
    head += f"<style>{PAGE_STYLE}{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"


def fragment(verdicts: Sequence[Verdict]) -> str:
    """The summary and a section for each claim that was tested, with their style, to be put into another page."""
    of = all_of(verdicts)
    told = f"<p>Runs of {escape(of)}.</p>" if of else ""
    return f"<style>.claims {{ {STYLE} }}</style><div class=claims>{told}{summary_and_tested(verdicts)}</div>"


def summary_and_tested(verdicts: Sequence[Verdict]) -> str:
    """The table of all claims, then a section for each that was tested."""
    tested = [verdict for verdict in verdicts if verdict.status is not Status.not_tested]
    return summary(verdicts) + "".join(map(section, tested))


def count_verdicts(verdicts: Sequence[Verdict]) -> str:
    """``4 supported, 2 contradicted``."""
    counts = {status: sum(verdict.status is status for verdict in verdicts) for status in Status}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


PROTOCOL = (
    "A unit is one seed on one base model; effects are mean paired differences with 95% paired-t intervals. Tests are "
    "one-sided at 5%, corrected by Holm inside each question; a claim of several tests holds if all of them reject. "
    "Equivalence is two one-sided tests with the margin fixed in the claims file. Supported: the claim's test rejects. "
    "Contradicted: the test of the opposite does. Underpowered: neither; seeds needed are those for power 0.8 at the "
    "corrected level, were effects and spreads as found here. p (Holm) is that of the claim or of its opposite, "
    "whichever is smaller."
)


def summary(verdicts: Sequence[Verdict]) -> str:
    rows = [
        f"<tr><td class=n>{v.claim.id}</td><td><a href='#claim-{v.claim.id}'>{escape(v.claim.statement)}</a></td>"
        f"<td>{_badge(v.status)}</td><td class=n>{'-' if v.status is Status.not_tested else v.deciding.n}</td>"
        f"<td class=n>{p_value(p_of_verdict(v))}</td><td class=n>{needed(v, ' to contradict')}</td></tr>"
        for v in verdicts
    ]
    head = "<tr><th class=n>#<th>claim<th>verdict<th class=n>n<th class=n>p (Holm)<th class=n>seeds needed</tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _badge(status: Status) -> str:
    return f"<span class='badge {status.replace(' ', '-')}'>{status}</span>"


def section(verdict: Verdict) -> str:
    claim = verdict.claim
    about = [f"{claim.where}; question: {claim.question.replace('_', ' ')}"]
    about += [f"runs of {verdict.of}"] if verdict.of else []
    if not math.isnan(verdict.p):
        about.append(
            f"p {p_value(verdict.p)}, after Holm {p_value(verdict.p_holm)}; of the opposite "
            f"{p_value(verdict.p_opposite)}, after Holm {p_value(verdict.p_opposite_holm)}"
        )
    about += [f"{role}: {k} of {n} runs diverged" for role, (k, n) in verdict.diverged.items() if k]
    beside = f"<h3>Beside</h3>{_findings(verdict.beside)}" if verdict.beside else ""
    return (
        f"<section id=claim-{claim.id}><h2>{claim.id}. {escape(claim.statement)} {_badge(verdict.status)}</h2>"
        f"<p>{escape(sentence(verdict))}<br><span class=faint>{escape('; '.join(about))}.</span></p>"
        f"{_findings(verdict.findings)}{beside}</section>"
    )


def _findings(findings: Sequence[Finding]) -> str:
    head = (
        "<tr><th>test<th class=n>effect<th class=n>95% interval<th><th class=n>n<th class=n>p<th class=n>sign-flip p"
        "<th class=n>passing margin<th>alone, uncorrected</tr>"
    )
    return f"<table><thead>{head}</thead><tbody>{''.join(map(_row, findings))}</tbody></table>"


def _row(finding: Finding) -> str:
    comparison = finding.comparison
    words = escape(comparison.words) + (" <span class=faint>(the paper's picture)</span>" if comparison.picture else "")
    if not finding.n:
        return f"<tr><td>{words}<td colspan=8 class=faint>{escape(finding.pairs.missing or '')}</tr>"
    bases = [f"base {base}: {number(effect, finding, True)}" for base, effect in finding.pairs.by_base.items()]
    remarks = [", ".join(bases) + (" (signs differ)" if finding.bases_disagree else "")] if len(bases) > 1 else []
    remarks += finding.pairs.lost
    tested = comparison.test is not Kind.description
    cells = [
        number(finding.effect, finding, signed=True),
        interval(finding),
        _plot(finding),
        units(finding).replace(" seeds", "").replace(" seed", ""),
        p_value(finding.p) if tested else "-",
        p_value(finding.sign_flip),
        margin(finding) if finding.margin is not None else "",
    ]
    under = f"<br><span class=faint>{escape('; '.join(remarks))}</span>" if remarks else ""
    return (
        f"<tr><td>{words}{under}"
        + "".join(f"<td class=n>{cell}" for cell in cells)
        + (f"<td>{finding.status if tested else ''}</tr>")
    )


def _plot(finding: Finding) -> str:
    """The interval on its own scale: zero as a line, the margins dashed, the effect as a dot."""
    margins = [finding.comparison.margin] if finding.comparison.margin is not None else []
    if finding.comparison.test is Kind.equivalence:
        margins = [sign * each for each in margins for sign in (-1, 1)]
    ends = [finding.low, finding.high, finding.effect, *margins]
    widest = 1.1 * max(abs(end) for end in ends) if all(map(math.isfinite, ends)) else 0.0
    if not widest:
        return ""
    (width, height), middle = PLOT, PLOT[1] / 2
    x = {end: width / 2 * (1 + end / widest) for end in (0.0, *ends)}
    lines = [f"<path d='M{x[0.0]:.1f} 0V{height}' stroke='#999'/>"]
    lines += [f"<path d='M{x[each]:.1f} 0V{height}' stroke='#999' stroke-dasharray='2 2'/>" for each in margins]
    lines.append(f"<path d='M{x[finding.low]:.1f} {middle}H{x[finding.high]:.1f}' stroke='#0072B2' stroke-width='2'/>")
    lines.append(f"<circle cx='{x[finding.effect]:.1f}' cy='{middle}' r='3.5' fill='#0072B2'/>")
    return f"<svg width={width} height={height} role=img aria-label='interval'>{''.join(lines)}</svg>"
