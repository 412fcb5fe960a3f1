#!/usr/bin/env python3
"""Measures exports. Standard library only.

usage: benches/exports.py [--bin PATH] [--pages N] [--megabytes N] [--exports N] [pdf|large|many]...

`pdf` has the rendering child lay out a conversation of about 200 pages and tells how long it takes
and how much memory. `large` exports the tables of a collection as CSV, JSON and Markdown until each
has about so many megabytes, and watches the server's memory. `many` asks for a thousand exports at
once, of all formats, and checks that every one ends whole: done, of the size and SHA-256 that the
server says.

Every figure is printed as one JSON line. The server is started on a free loopback port and a scratch
folder, and stopped by pid.
"""

import argparse
import hashlib
import http.client
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import threading
import time

import run
from run import say

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOW = "2026-01-31T09:59:00Z"
LIMIT_MB = 512
# Turns that fill 200 pages of the built-in layout.
TURNS_PER_PAGE = 2
QUESTION = "What was the market value of bond 2 in 2025?"


def identity(number):
    return f"018f0000-0000-7000-8000-{number:012x}"


def message(role, content, **rest):
    return {
        "id": identity(1),
        "conversation_id": identity(2),
        "role": role,
        "state": "done",
        "content": content,
        "citations": [],
        "figures": [],
        "model": None,
        "usage": None,
        "created_at": NOW,
        **rest,
    }


def turn(number):
    line = "Total net sales rose 8 percent to $94,036 million, and services net sales were $27,423 million [1]. "
    text = line * 5 + "\n\nServices grew as well. " + line * 4
    quote = "Total net sales $ 94,036 $ 85,777 Services net sales 27,423 24,213"
    citations = [
        {
            "ordinal": ordinal,
            "document_id": identity(3),
            "filename": "10q-2025-q3.pdf",
            "version": 1,
            "page": 17,
            "cell": None,
            "section": "Products and Services Performance",
            "quote": quote,
            "char_start": 0,
            "char_end": len(quote),
            "boxes": [],
        }
        for ordinal in (1, 2, 3)
    ]
    source = {"ordinal": 1, "text": "94,036", "char_start": 0, "char_end": 6, "row": "Total net sales", "column": "2025"}
    figures = []
    for figure, status in (("8 percent", "supported"), ("$94,036 million", "supported"), ("$27,423 million", "unsupported")):
        at = text.index(figure)
        figures.append(
            {"text": figure, "status": status, "ordinal": 1, "char_start": at, "char_end": at + len(figure), "support": source}
        )
    question = message("user", f"What were total net sales in the third quarter, in view {number}, and what did services do?")
    answer = message("assistant", text, citations=citations, figures=figures, model="openai:gpt-5-mini")
    return {"turn": {"number": number, "question": question, "answer": answer}}


def bench_pdf(arguments):
    """The child alone: what a worker's export waits for."""
    turns = round(arguments.pages * TURNS_PER_PAGE)
    cover = {
        "about": "answers",
        "title": "Third quarter: net sales and services",
        "asker": "A. Manager",
        "created_at": NOW,
        "models": ["openai:gpt-5-mini"],
        "generations": [{"collection": "Filings", "id": identity(9), "model": "minilm", "created_at": NOW}],
        "counts": {"questions": turns, "figures_supported": 2 * turns, "figures_unsupported": turns, "documents": 0, "columns": 0},
    }
    for form in ("pdf", "docx"):
        task = {"format": form, "template": None, "limits": {"memory_bytes": LIMIT_MB << 20, "cpu_seconds": 60}}
        lines = [task, {"cover": cover}, *(turn(number + 1) for number in range(turns))]
        data = "\n".join(json.dumps(line) for line in lines).encode() + b"\n\n"
        seconds, peak, sums = [], 0.0, set()
        for _ in range(5):
            began = time.monotonic()
            # A child of this one's own tells its memory apart from that of the others. Its environment is as
            # workers set it.
            child = subprocess.Popen([arguments.bin, "render-child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"MALLOC_ARENA_MAX": "1"})
            watch = threading.Thread(target=child.stdin.write, args=(data,))
            watch.start()
            watch.join()
            child.stdin.close()
            output = child.stdout.read()
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            seconds.append(time.monotonic() - began)
            peak = max(peak, used.ru_maxrss / 1024)
            body = file_of(output)
            sums.add(hashlib.sha256(body).hexdigest())
        figures = {"turns": turns, "bytes": len(body), "median_s": round(sorted(seconds)[2], 2), "peak_mb": round(peak)}
        if form == "pdf":
            figures["pages"] = body.count(b"/Type /Page\n") or body.count(b"/Type/Page/") or pages_of(body)
        say(f"export_{form}", same_bytes=len(sums) == 1, **figures)


def file_of(output):
    """The file out of the child's frames."""
    at, body = 0, b""
    while at < len(output):
        kind, length = output[at], struct.unpack("<I", output[at + 1 : at + 5])[0]
        piece = output[at + 5 : at + 5 + length]
        at += 5 + length
        if kind == 0:
            body += piece
        if kind == 2:
            sys.exit(f"the export failed: {piece.decode()}")
    return body


def pages_of(body):
    """As pdfinfo tells, where it is installed."""
    if shutil.which("pdfinfo") is None:
        return None
    path = os.path.join(run.scratch(), "pages.pdf")
    with open(path, "wb") as file:
        file.write(body)
    told = subprocess.run(["pdfinfo", path], capture_output=True, text=True).stdout
    return next((int(line.split()[1]) for line in told.splitlines() if line.startswith("Pages:")), None)


def sheet(rows, first):
    """A CSV file with numbers in eight columns."""
    lines = ["Line,2018,2019,2020,2021,2022,2023,2024,2025"]
    for row in range(first, first + rows):
        lines.append(f"Position {row} of the Halden series," + ",".join(str((row * 7919 + year * 104729) % 9_999_999) for year in range(8)))
    return "\n".join(lines) + "\n"


def bench_large(arguments):
    """The server's memory while it writes a file of so many megabytes."""
    data = run.scratch()
    server = run.Server(
        arguments.bin, data, QUAESTOR_EMBED="none", QUAESTOR_PARSE__MAX_CELLS="20000000", QUAESTOR_PARSE__MEMORY_MB="2048",
        QUAESTOR_EXPORTS__LINK_LIVES_S="3600",
    )
    collection = server.collection("sheets")
    # A row is about 115 bytes of a CSV export.
    rows = arguments.megabytes * 1_000_000 // 115
    folder, jobs, each = run.scratch(), [], 25_000
    for number in range(max(1, rows // each)):
        path = os.path.join(folder, f"sheet-{number}.csv")
        with open(path, "w") as file:
            file.write(sheet(min(each, rows), number * each))
        jobs.append(server.upload(collection, [path])[1]["items"][0]["job_id"])
        os.remove(path)
    ended, waiting = server.wait_until_ended(jobs, 7200)
    say("export_large_ingested", files=len(jobs), done=sum(job["state"] == "done" for job in ended.values()), waiting=len(waiting))
    for form in ("csv", "json", "md"):
        server.reset_peak()
        before, began = server.rss_mb(), time.monotonic()
        accepted = server.call("POST", "/api/exports", {"collection_id": collection, "format": form})[1]
        ended, _ = server.wait_until_ended([accepted["job_id"]], 7200)
        seconds = time.monotonic() - began
        export = server.call("GET", f"/api/exports/{accepted['export_id']}")[1]
        size = export["size_bytes"] or 0
        say(
            f"export_large_{form}",
            state=export["state"],
            megabytes=round(size / 1e6),
            seconds=round(seconds, 1),
            megabytes_per_s=round(size / 1e6 / seconds, 1),
            rss_before_mb=round(before),
            peak_mb=round(server.peak_mb()),
            whole=fetched(server, export) == (size, export["sha256"]),
        )
    server.stop()
    shutil.rmtree(data, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def fetched(server, export):
    """The size and SHA-256 of what the link gives, read in pieces."""
    connection = http.client.HTTPConnection(server.address, timeout=300)
    connection.request("GET", export["url"])
    response = connection.getresponse()
    size, digest = 0, hashlib.sha256()
    while piece := response.read(1 << 20):
        size += len(piece)
        digest.update(piece)
    connection.close()
    return size, digest.hexdigest()


def bench_many(arguments):
    """So many exports at once, of all formats."""
    data = run.scratch()
    server = run.Server(arguments.bin, data, QUAESTOR_EMBED="none", QUAESTOR_EXPORTS__LINK_LIVES_S="3600")
    collection = server.collection("reports")
    path = os.path.join(run.scratch(), "halden.md")
    with open(path, "w") as file:
        file.write("# Halden Bond Fund\n\n| Item | 2025 | 2024 |\n| --- | --- | --- |\n| Market value of bond 2 | 2,026 | 1,822 |\n")
    server.wait_until_ended([server.upload(collection, [path])[1]["items"][0]["job_id"]])
    conversation = server.call("POST", "/api/conversations", {})[1]["id"]
    asked = server.call("POST", f"/api/conversations/{conversation}/messages", {"content": QUESTION})[1]
    server.wait_until_ended([asked["job_id"]])
    answers, tables = {"conversation_id": conversation}, {"collection_id": collection}
    kinds = [(answers, form) for form in ("md", "html", "pdf", "docx", "json")] + [(tables, form) for form in ("csv", "xlsx")]
    began, accepted = time.monotonic(), []
    for number in range(arguments.exports):
        selection, form = kinds[number % len(kinds)]
        accepted.append(server.call("POST", "/api/exports", {**selection, "format": form})[1])
    accepted_s = time.monotonic() - began
    ended, waiting = server.wait_until_ended([export["job_id"] for export in accepted], 3600)
    seconds = time.monotonic() - began
    states, whole, by_form = {}, 0, {}
    for one in accepted:
        export = server.call("GET", f"/api/exports/{one['export_id']}")[1]
        states[export["state"]] = states.get(export["state"], 0) + 1
        by_form.setdefault(export["format"], []).append(export["size_bytes"])
        whole += export["url"] is not None and fetched(server, export) == (export["size_bytes"], export["sha256"])
    left = [name for name in os.listdir(os.path.join(data, "objects", "tmp"))] if os.path.isdir(os.path.join(data, "objects", "tmp")) else []
    say(
        "export_many",
        exports=len(accepted),
        states=states,
        whole=whole,
        unfinished=len(waiting),
        accepted_s=round(accepted_s, 1),
        seconds=round(seconds, 1),
        half_objects=len(left),
        peak_mb=round(server.peak_mb()),
    )
    server.stop()
    shutil.rmtree(data, ignore_errors=True)


BENCHES = {"pdf": bench_pdf, "large": bench_large, "many": bench_many}


def main():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(target, "release/quaestor"))
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=1_000)
    parser.add_argument("--exports", type=int, default=1_000)
    parser.add_argument("which", nargs="*", default=[])
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4_096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for name in arguments.which or BENCHES:
        BENCHES[name](arguments)


if __name__ == "__main__":
    main()
