"""Draws the medians as a bar chart: plain SVG, one panel per case."""

from xml.sax.saxutils import escape

WIDTH, LABEL, VALUE, BAR, GAP = 860, 110, 130, 16, 5
COLOURS = {"floor": "#9aa5b1", "floor udp": "#9aa5b1", "lunadns": "#2f6fde"}
# The figure a kind of case is drawn by, and its unit.
FIGURES = {"cpu": ("us", "µs of server CPU per query", ".2f"), "idle": ("rss_mb", "MB resident", ".1f"),
           "million": ("rss_mb", "MB resident", ".1f")}


def _text(x, y, text, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {extra}>{escape(text)}</text>'


def _limit(case, figure, bars, rows):
    """Where the panel's limit lies, in the unit of its bars; None without one."""
    wanted = "ratio" if figure == "us" else figure
    for row in rows:
        if row["case"] == case.name and row["figure"] == wanted:
            floor = bars.get("floor udp", bars.get("floor"))
            return row["limit"] if wanted == figure else row["limit"] * floor if floor else None
    return None


def _panel(case, figures, rows, top):
    figure, unit, form = FIGURES[case.kind]
    bars = {name: f[figure] for name, f in figures.items() if figure in f}
    if not bars:
        return [], top
    limit = _limit(case, figure, bars, rows)
    room = WIDTH - LABEL - VALUE
    scale = room / max([*bars.values(), limit or 0])
    parts = [_text(10, top + 14, f"{case.name}: {case.title}", 'font-weight="bold"'),
             _text(10, top + 30, unit, 'fill="#66707a" font-size="11"')]
    y = top + 38
    for name, value in bars.items():
        ratio = figures[name].get("ratio")
        label = format(value, form) + (f"  ({ratio:.2f} x)" if ratio else "")
        length = max(1, value * scale)
        parts += [_text(LABEL - 8, y + 12, name, 'text-anchor="end"'),
                  f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" '
                  f'fill="{COLOURS.get(name, "#c8b48a")}"/>',
                  _text(LABEL + length + 6, y + 12, label)]
        y += BAR + GAP
    if limit:
        x = LABEL + limit * scale
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 34}" y2="{y}" stroke="#c0392b" '
                     'stroke-dasharray="4 3"><title>limit of lunadns</title></line>')
    return parts, y + 18


def draw(head, cases, table, rows):
    """Returns the SVG of a run. The dashed line of a panel is the limit of lunadns."""
    parts = [_text(10, 22, "lunadns bench", 'font-size="17" font-weight="bold"'),
             _text(10, 40, f"{head['cpu']}, Linux {head['kernel']}, one core, medians of {head['rounds']} rounds "
                           f"of {head['seconds']:g} s; dashed: the limit of lunadns", 'fill="#66707a" font-size="11"')]
    top = 60
    for case in cases:
        if case.kind in FIGURES and table.get(case.name):
            panel, top = _panel(case, table[case.name], rows, top)
            parts += panel
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
            f'viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="12" fill="#1f2933">\n'
            f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n")
