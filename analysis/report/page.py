"""A report as one HTML page: plotly's code inside it, no network needed, and fit for printing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from plotly.offline import get_plotlyjs

from analysis.claims.page import PAGE_STYLE, PROTOCOL, STYLE, count_verdicts, summary_and_tested
from analysis.figures.canvas import Drawing
from analysis.report.report import Report, command, sweep_file
from analysis.runs.names import described
from analysis.runs.replicates import bases
from analysis.tables.final import what_is_shown, with_interval

OWN_STYLE = """
body { max-width: 1100px; }
nav a { margin-right: 1.2em; }
nav { margin: 1em 0; }
h1 { margin-bottom: .2em; }
h2.part { font-size: 20px; border-bottom: 2px solid #222; margin-top: 2em; padding-bottom: .15em; }
pre, code { font: 12.5px/1.4 "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { background: #f6f6f6; padding: .7em 1em; overflow-x: auto; }
.figure { break-inside: avoid; margin: 1.5em 0 2em; overflow-x: auto; }
.wide { overflow-x: auto; }
td:first-child { white-space: nowrap; }
td.long, #Claims ~ section td { white-space: normal; }
@media print {
  @page { size: A4; margin: 14mm; }
  .figure { zoom: .62; overflow: visible; }
  .modebar, nav { display: none; }
  details > summary { display: none; }
  h2.part { break-after: avoid; }
  .wide { overflow: visible; }
}
"""
# A closed <details> prints as nothing.
OPEN_FOR_PRINT = (
    "addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(d => d.open = true))"
)
PARTS = ("Summary", "Completeness", "Claims", "Figures", "Settings", "Reproduce")


def report_page(report: Report, created: datetime | None = None) -> str:
    """The whole page. `created` is the time to print on it, by default now."""
    when = (created or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
    title = escape(report.runs.sweep)
    body = [
        f"<h1>{title}</h1><p class=faint>{escape(_origin(report))} Written {when}.</p>",
        "<nav>" + "".join(f"<a href='#{part}'>{part}</a>" for part in PARTS) + "</nav>",
        *(
            f"<h2 class=part id={part}>{part}</h2>{content(report)}"
            for part, content in zip(
                PARTS, (_summary, _completeness, _claims, _figures, _settings, _reproduce), strict=True
            )
        ),
    ]
    head = "<meta charset=utf-8><meta name=viewport content='width=device-width'>"
    head += f"<title>{title}</title><style>{PAGE_STYLE}{STYLE}{OWN_STYLE}</style>"
    head += f"<script>{get_plotlyjs()}</script><script>{OPEN_FOR_PRINT}</script>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"


def _origin(report: Report) -> str:
    table = report.runs.runs
    scales = " and ".join(sorted(set(table["scale"].dropna()))) or "not recorded"
    commits = ", ".join(sorted(set(table["git_commit"].dropna().str[:10]))) or "not recorded"
    dirty = " with uncommitted changes" if table["git_dirty"].any() else ""
    hardware = "; ".join(sorted(set(table["hardware"].dropna()))) or "hardware not recorded"
    models = f", {len(bases(report.runs))} base models" if len(bases(report.runs)) > 1 else ""
    seeds = table["seed"].nunique()
    of = described(table)
    return (
        f"{of}{'; ' * bool(of)}{len(table)} trials, {seeds} seed{'s' if seeds > 1 else ''}{models}; scale {scales}; "
        f"commit {commits}{dirty}; {hardware}."
    )


def _summary(report: Report) -> str:
    lines = [f"<p>Of the paper's {len(report.verdicts)} claims: {count_verdicts(report.verdicts)}.</p>"]
    if len(table := report.results):
        head = [
            f"{name.replace('_', ' ')}, average@{k}"
            for name, k in dict.fromkeys(zip(table["set"], table["k"], strict=True))
        ]
        rows = [
            [str(method), *(with_interval(row) for row in part.to_dict("records")), str(part["runs"].max())]
            for method, part in table.groupby("method", sort=False)
        ]
        lines.append(f"<div class=wide>{_table(['method', *head, 'runs'], rows)}</div>")
        lines.append(f"<p class=faint>Held-out accuracy at the end: {what_is_shown(table)}.</p>")
    return "".join(lines)


def _completeness(report: Report) -> str:
    table = report.standings
    rows = [[str(name), *map(str, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    notes = "".join(f"<p>{escape(line)}.</p>" for line in report.gaps) or "<p>Every planned trial is done.</p>"
    return notes + _table(["sweep", *map(str, table.columns)], rows)


def _claims(report: Report) -> str:
    told = f"<pre>{escape(command(report, 'claims'))}</pre>"
    return f"<p class=faint>{escape(PROTOCOL)}</p>{summary_and_tested(report.verdicts)}{told}"


def _figures(report: Report) -> str:
    left_out = [f"<li>{escape(name)}: {escape(why)}</li>" for name, why in report.left_out.items()]
    told = f"<details><summary>Figures that these runs do not give</summary><ul>{''.join(left_out)}</ul></details>"
    return "".join(_figure(report, drawing) for drawing in report.drawings) + (told if left_out else "")


def _figure(report: Report, drawing: Drawing) -> str:
    html = drawing.figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": False}
    )
    origin = f"<code>{escape(command(report, 'figures'))}</code> writes it as {drawing.name}"
    return f"<div class=figure id=figure-{drawing.name}>{html}<p class=faint>{origin}</p></div>"


def _settings(report: Report) -> str:
    table = report.settings
    rows = [[str(key), *map(str, row)] for key, row in zip(table.index, table.to_numpy(), strict=True)]
    shared = [[str(key), value] for key, value in report.shared.items()]
    differing = f"<div class=wide>{_table(['differs', *map(str, table.columns)], rows)}</div>" if rows else ""
    return (
        f"{differing}<details><summary>{len(shared)} settings that all variants share</summary>"
        f"{_table(['setting', 'value'], shared)}</details>"
    )


def _reproduce(report: Report) -> str:
    parts = []
    for runs in report.sources:
        commits = sorted(set(runs.runs["git_commit"].dropna()))
        lines = [f"git checkout {commits[0]}"] if len(commits) == 1 else []
        written = sweep_file(runs)
        lines += [f"minrl sweep {runs.sweep}.yaml"] if written else []
        parts.append(f"<h3>{escape(runs.sweep)}</h3><pre>{escape(chr(10).join(lines))}</pre>")
        what = f"with {runs.sweep}.yaml:" if written else "No sweep file is recorded: see the settings of each variant."
        parts.append(f"<p class=faint>{escape(what)}</p>" + (f"<pre>{escape(written)}</pre>" if written else ""))
    parts.append(f"<h3>this page</h3><pre>{escape(command(report, 'report'))}</pre>")
    return "".join(parts) + _environments(report)


def _environments(report: Report) -> str:
    """With what the runs were made, as far as their records say."""
    found = [environment for runs in report.sources for environment in runs.environments]
    lines = []
    for environment in found:
        versions = ", ".join(f"{name} {version}" for name, version in dict(environment.get("versions", {})).items())
        lines.append(f"Python {environment.get('python')}, {versions}; {environment.get('platform')}")
    return "".join(f"<p class=faint>{escape(line)}</p>" for line in dict.fromkeys(lines))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Text on the left in the first column, numbers on the right in the others."""
    first, *others = head
    top = f"<th>{escape(first)}" + "".join(f"<th class=n>{escape(name)}" for name in others)
    body = "".join(
        "<tr>" + "".join(f"<td{' class=n' if i else ''}>{escape(cell)}" for i, cell in enumerate(row)) for row in rows
    )
    return f"<table><thead><tr>{top}</thead><tbody>{body}</tbody></table>"
