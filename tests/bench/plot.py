# SPDX-License-Identifier: Apache-2.0
"""The table of a run, as Markdown and as a plot."""
import html
import math

PEERS = (("sidelift", "#1565c0"), ("kind", "#c62828"), ("registry", "#ef6c00"), ("pipe", "#6d4c41"), ("floor", "#9e9e9e"))
TITLES = {"sidelift": "sidelift load", "kind": "kind load docker-image", "registry": "registry: push, ctr images pull",
          "pipe": "docker save | ctr images import", "floor": "a ready partial archive, ctr images import"}


def seconds(value):
    return "" if value is None else f"{value:.2f} s"


def markdown(result):
    lines = ["| case | engine | nodes | sidelift | kind | registry | save \\| import | floor | |", "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for row in result["rows"]:
        t = row["seconds"]
        ratio = f"{t['kind'] / t['sidelift']:.1f} x kind" if "kind" in t else ""
        lines.append(f"| {row['case']} | {row['engine']} | {row['nodes']} | " +
                     " | ".join(seconds(t.get(peer)) for peer, _ in PEERS) + f" | {row.get('note') or ratio} |")
    lines += ["", f"{result['date']}, {result['machine']}; {result['software']}; medians of {result['runs']} runs for what takes less than "
              "some seconds, one run for the rest; `crictl` in the nodes, which kind asks, is home-made."]
    return "\n".join(lines) + "\n"


def svg(result):
    rows = [r for r in result["rows"] if len(r["seconds"]) > 1]
    values = [v for r in rows for v in r["seconds"].values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    left, width, bar = 360, 520, 11
    height = 60 + sum(len(r["seconds"]) * bar + 12 for r in rows)

    def x(value):
        return left + width * (math.log10(value) - low) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{height + 20}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>']
    at = 10
    for peer, colour in PEERS:
        out.append(f'<rect x="{at}" y="8" width="10" height="10" fill="{colour}"/><text x="{at + 14}" y="17">{html.escape(TITLES[peer])}</text>')
        at += 30 + 6 * len(TITLES[peer])
    for exponent in range(low, high + 1):
        value = 10.0 ** exponent
        out.append(f'<line x1="{x(value):.0f}" y1="30" x2="{x(value):.0f}" y2="{height}" stroke="#ddd"/>'
                   f'<text x="{x(value):.0f}" y="{height + 14}" text-anchor="middle">{value:g} s</text>')
    y = 36
    for row in rows:
        label = f"{row['case']}, {row['nodes']} node{'s' * (row['nodes'] > 1)}, {row['engine']}"
        out.append(f'<text x="{left - 8}" y="{y + 9}" text-anchor="end">{html.escape(label)}</text>')
        for peer, colour in PEERS:
            if peer not in row["seconds"]:
                continue
            value = row["seconds"][peer]
            out.append(f'<rect x="{left}" y="{y}" width="{max(1, x(value) - left):.1f}" height="{bar - 2}" fill="{colour}"/>'
                       f'<text x="{x(value) + 4:.1f}" y="{y + 8}" font-size="9">{value:.2f}</text>')
            y += bar
        y += 12
    return "\n".join(out) + "\n</svg>\n"
