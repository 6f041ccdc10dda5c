"""Medians, tables, limits, and the files a run leaves behind."""

import json
import os
import platform
import subprocess
from statistics import median

import chart
import machine
from cluster import UPDATES
from traffic import RELOAD_QPS

MB = 1_000_000

# What lunadns may cost "at most": (case, figure, limit, unit, text).
LIMITS = [
    ("hosts", "ratio", 1.25, "x floor", "CPU per query: hosts"),
    ("cached", "ratio", 1.25, "x floor", "CPU per query: cached, errors, prometheus, loadbalance"),
    ("cached-log", "ratio", 1.5, "x floor", "CPU per query: the same with log to a file"),
    ("forward", "ratio", 2.2, "x floor", "CPU per query: forward, UDP to UDP"),
    ("tcp", "ratio", 0.8, "x UDP floor", "CPU per query: hosts over TCP, 8 connections, pipelined"),
    ("plugin", "added_us", 0.15, "µs", "a Lua plugin that passes the query on: added to hosts"),
    ("kubernetes", "ratio", 1.3, "x floor", "CPU per query: ClusterIP A, a cluster's chain"),
    ("kubernetes-nx", "ratio", 1.3, "x floor", "CPU per query: NXDOMAIN, a cluster's chain"),
    ("kubernetes-size", "sync_cpu_s", 0.5, "s", "10,000 services, 80,000 endpoints: CPU until synced, start included"),
    ("kubernetes-size", "rss_mb", 40, "MB", "the same: resident"),
    ("kubernetes-size", "relist_percent", 10, "%", "the same: peak while all is listed again, above that"),
    ("kubernetes-size", "event_p99_ms", 5, "ms", "from event received to changed answer, p99"),
    ("kubernetes-updates", "lost_percent", 5, "%", f"throughput that queries lose while {UPDATES:,} slices change a second"),
    ("kubernetes-store", "pods_mb", 25, "MB", "pods verified: 150,000 pods add"),
    ("kubernetes-store", "loss_percent", 5, "% of a query", "the same by the store alone: of a core and of each answer"),
    ("idle", "rss_mb", 20, "MB", "resident, idle, 2 workers, default Corefile"),
    ("waiting-sleep", "rss_mb", 100, "MB", "resident, 10,000 queries that wait in dns.sleep"),
    ("waiting-resolve", "rss_mb", 100, "MB", "the same in dns.resolve, for a silent upstream"),
    ("waiting-forward", "rss_mb", 100, "MB", "the same in forward, to a silent upstream"),
    ("million", "rss_mb", 100, "MB", "resident, 1,000,000 hosts"),
    ("million", "ready_s", 1, "s", "1,000,000 hosts: ready in"),
    ("million", "slowest_ms", 10, "ms", "1,000,000 hosts: longest query during a reload of the file"),
    ("reload", "lost", 0, "queries", "lost over all reloads at 20,000 queries/s"),
    ("plugin-reload", "lost", 0, "queries", "lost over edits of a plugin at 20,000 queries/s"),
    ("plugin-reload", "p99_ratio", 2, "x before", "p99 while a plugin is edited again and again"),
]

# What a case has to reach for its limits to mean something: the figure, and how much of it.
RATES = {"reload": ("qps", 0.95 * RELOAD_QPS), "kubernetes-updates": ("updates", UPDATES)}

# Columns of the tables by kind of case: (figure, heading, format).
COLUMNS = {
    "cpu": [("us", "µs/query", ".2f"), ("ratio", "x floor", ".2f"), ("qps", "queries/s", ",.0f"),
            ("busy", "busy", ".0%"), ("loss", "loss", ".3%"), ("p50_us", "p50 µs", ".0f"),
            ("p99_us", "p99 µs", ".0f"), ("rss_mb", "MB", ".1f")],
    "idle": [("rss_mb", "MB", ".1f"), ("peak_mb", "peak MB", ".1f")],
    "waiting": [("waiting", "waiting", ",.0f"), ("rss_mb", "MB", ".1f"), ("each_kb", "kB each", ".2f"), ("peak_mb", "peak MB", ".1f")],
    "million": [("ready_s", "ready s", ".2f"), ("rss_mb", "MB", ".1f"), ("reload_s", "reload s", ".1f"),
                ("rss_after_mb", "after MB", ".1f"), ("peak_mb", "peak MB", ".1f"),
                ("slowest_ms", "longest ms", ".2f"), ("worst_ms", "worst ms", ".2f"), ("lost", "lost", ".0f")],
    "reload": [("reloads", "reloads", ".0f"), ("sent", "queries", ",.0f"), ("lost", "lost", ",.0f"),
               ("failed", "failed", ",.0f"), ("qps", "queries/s", ",.0f"), ("slowest_ms", "longest ms", ".2f")],
    "cluster": [("sync_cpu_s", "sync CPU s", ".2f"), ("rss_mb", "MB", ".1f"), ("relist_percent", "relist %", ".1f"),
                ("event_p99_ms", "event p99 ms", ".2f")],
    "updates": [("updates", "updates/s", ",.0f"), ("watch_percent", "watch %", ".1f"), ("calm_us", "µs without", ".2f"),
                ("us", "µs with", ".2f"), ("lost_percent", "loss %", ".1f")],
    "store": [("pods_mb", "pods MB", ".1f"), ("answer_ns", "answer ns", ".0f"), ("slowed_ns", "slowed ns", ".0f"),
              ("changes", "changes/s", ",.0f"), ("change_us", "change µs", ".1f"), ("most_changes", "most/s", ",.0f"),
              ("loss_percent", "loss %", ".1f")],
    "plugin_reload": [("reloads", "reloads", ".0f"), ("sent", "queries", ",.0f"), ("lost", "lost", ",.0f"),
                      ("failed", "failed", ",.0f"), ("qps", "queries/s", ",.0f"), ("calm_p99_us", "p99 before", ".0f"),
                      ("p99_us", "p99 µs", ".0f"), ("slowest_ms", "longest ms", ".2f")],
}


def facts(options, bench, subjects, binaries):
    """What a reader needs to know about the run."""
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "cpu": model, "kernel": platform.release(), "cores": len(machine.ALLOWED),
        "server_core": bench.server_core, "load_core": bench.load_core, "load": options.load,
        "rounds": options.rounds, "seconds": options.seconds,
        "subjects": {name: version(name, binaries[name]) for name in options.subjects},
    }


def version(name, binary):
    """The first line of what the binary says of its version that holds a digit."""
    flag = {"coredns": "-version", "lunadns": "-version", "unbound": "-V"}.get(name, "--version")
    if not binary:
        return "spec/bench/echo.c"
    said = subprocess.run([binary, flag], capture_output=True, text=True, timeout=10, check=False)
    lines = (said.stdout + said.stderr).splitlines()
    return next((line.strip() for line in lines if any(c.isdigit() for c in line)), "")[:60]


def of(rounds, case, subject):
    return [r for r in rounds if r["case"] == case and r["subject"] == subject]


def medians(rounds, case, subject):
    """The median of each figure; ratios are taken within a round first, so that a slow minute hits both sides."""
    mine = of(rounds, case, subject)
    if not mine:
        return {}
    result = {key: median(r[key] for r in mine if key in r) for key in mine[0]
              if key not in ("case", "subject", "round")}
    floor = {r["round"]: r["us"] for name in ("floor", "floor udp")
             for r in of(rounds, case, name) if "us" in r}
    ratios = [r["us"] / floor[r["round"]] for r in mine if "us" in r and r["round"] in floor]
    if ratios:
        result["ratio"] = median(ratios)
    if case == "plugin":
        plain = {r["round"]: r["us"] for r in of(rounds, case, "without")}
        added = [r["us"] - plain[r["round"]] for r in mine if r["round"] in plain]
        if added:
            result["added_us"] = median(added)
    if "lost" in result and result.get("sent"):
        result["loss"] = sum(r["lost"] for r in mine) / sum(r["sent"] for r in mine)
        result["lost"] = sum(r["lost"] for r in mine)
    if "slowest_ms" in result:
        result["worst_ms"] = max(r["slowest_ms"] for r in mine)
    if "change_us" in result:
        # The writer's share of a core, and what each answer costs more, against a whole query of some 4 µs.
        result["loss_percent"] = result["change_us"] * 5_000 / 1e4 + max(0, result["slowed_ns"]) / 4_000 * 100
    for key in ("rss", "rss_after", "peak"):
        if key + "_kb" in result:
            result[key + "_mb"] = result[key + "_kb"] * 1024 / MB
    return result


def subjects_of(rounds, case):
    return list(dict.fromkeys(r["subject"] for r in rounds if r["case"] == case))


def print_head(head):
    print(f"{head['cpu']}, Linux {head['kernel']}; server on core {head['server_core']}, "
          f"load ({head['load']}) on core {head['load_core']}; "
          f"{head['rounds']} rounds of {head['seconds']:g} s")
    for name, text in head["subjects"].items():
        print(f"  {name:<10} {text}")


def print_case(case, rounds):
    print(f"\n{case.name}: {case.title}")
    columns = COLUMNS[case.kind]
    print(f"  {'':<10}" + "".join(f"{heading:>12}" for _, heading, _ in columns))
    for subject in subjects_of(rounds, case.name):
        figures = medians(rounds, case.name, subject)
        cells = (format(figures[key], form) if key in figures else "-" for key, _, form in columns)
        print(f"  {subject:<10}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    waited = medians(rounds, case.name, "floor").get("waited", 0)
    if waited > 0.05:
        print(f"  note: something else had the server's core for {waited:.0%} of the floor's time; "
              "latencies and queries/s suffer, CPU per query less")


def limits(rounds):
    """One row per limit: what lunadns was measured at, None where it was not."""
    rows = []
    for case, figure, limit, unit, text in LIMITS:
        value = medians(rounds, case, "lunadns").get(figure)
        # What the floor loses, and its longest query, are the machine's own noise.
        noise = medians(rounds, case, "floor").get(figure) if figure in ("slowest_ms", "lost") else None
        # Not rounded in lunadns's favour: 1.254 misses 1.25.
        verdict = "not measured" if value is None else "holds" if value <= limit else "MISSES"
        # Few queries have little to lose, few updates take little. What misses the limit misses it at any rate.
        rate, least = RATES.get(case, (None, 0))
        if verdict == "holds" and rate and medians(rounds, case, "lunadns")[rate] < least:
            verdict = "rate not held"
        if case == "reload" and value is not None:
            text = text.replace("all", f"{of(rounds, case, 'lunadns')[0]['reloads']}")
        rows.append({"case": case, "figure": figure, "text": text, "measured": value, "limit": limit,
                     "unit": unit, "verdict": verdict, "floor": noise})
    return rows


def print_limits(rows):
    print(f"\n{'limits of lunadns':<62}{'measured':>10}{'at most':>10}")
    for row in rows:
        value = "-" if row["measured"] is None else f"{row['measured']:.3f}".rstrip("0").rstrip(".")
        noise = f" (floor: {row['floor']:.1f})" if row["floor"] is not None else ""
        print(f"  {row['text']:<60}{value:>10}{row['limit']:>10} {row['unit']:<12} {row['verdict']}{noise}")


def write(folder, head, cases, rounds, rows, problems):
    """Writes bench.json and bench.svg."""
    table = {case.name: {name: medians(rounds, case.name, name) for name in subjects_of(rounds, case.name)}
             for case in cases}
    with open(os.path.join(folder, "bench.json"), "w", encoding="utf-8") as file:
        json.dump({"machine": head, "limits": rows, "medians": {k: v for k, v in table.items() if v},
                   "rounds": rounds, "problems": problems}, file, indent=1, ensure_ascii=False)
        file.write("\n")
    with open(os.path.join(folder, "bench.svg"), "w", encoding="utf-8") as file:
        file.write(chart.draw(head, cases, table, rows))
    print(f"\nwritten: {os.path.relpath(folder)}/bench.json, {os.path.relpath(folder)}/bench.svg")
