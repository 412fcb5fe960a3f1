#!/usr/bin/env python3
"""Measures the release build as BENCHMARKS.md tells. Standard library only.

usage: benches/run.py [--bin PATH] [--shared DIR] [start|pdf|ingest|upload|robust|sockets|both]...
       scripts/services.sh with benches/run.py sockets both

Every figure is printed as one JSON line; medians are over the repetitions named there.
Servers are started on free loopback ports and scratch folders, and stopped by pid.
"""

import argparse
import asyncio
import csv
import glob
import http.client
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import services

KEY = "a-key-for-benches-0123456789"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def say(name, **figures):
    print(json.dumps({"bench": name, **figures}), flush=True)


class Server:
    """The program on a scratch folder, with its memory watched."""

    command = "serve"

    def __init__(self, binary, data, **environment):
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "QUAESTOR_LISTEN": "127.0.0.1:0",
            "QUAESTOR_DATA_DIR": data,
            "QUAESTOR_ADMIN_KEY": KEY,
            **environment,
        }
        began = time.monotonic()
        self.process = subprocess.Popen(
            [binary, self.command], env=env, cwd=data, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.address = None
        for line in self.process.stderr:
            if "serves on " in line:
                self.address = line.split("serves on http://")[1].strip()
                break
        if self.address is None:
            sys.exit("the server did not start")
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()
        while self.call("GET", "/health")[0] != 200:
            time.sleep(0.002)
        self.healthy_s = time.monotonic() - began

    def call(self, method, path, body=None, headers=None):
        """One request; waits where it is told to (429)."""
        while True:
            status, answer = self.request(method, path, body, headers)
            if status != 429:
                return status, answer
            time.sleep(0.5)

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(self.address, timeout=300)
        headers = {"Authorization": f"Bearer {KEY}", **(headers or {})}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, (json.loads(text) if text[:1] in b"{[" and text else text)

    def rss_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def pss_kb(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))

    def peak_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def reset_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as clear:
            clear.write("5")

    def cpu_s(self):
        """Own CPU, and that of the parse processes that have ended."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        tick = os.sysconf("SC_CLK_TCK")
        return (int(fields[11]) + int(fields[12])) / tick, (int(fields[13]) + int(fields[14])) / tick

    def upload(self, collection, files):
        boundary = "quaestor-bench"
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="collection_id"\r\n\r\n{collection}\r\n'.encode()]
        for path in files:
            name = os.path.basename(path).replace('"', "")
            with open(path, "rb") as file:
                parts += [
                    f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode(),
                    file.read(),
                    b"\r\n",
                ]
        parts.append(f"--{boundary}--\r\n".encode())
        return self.call(
            "POST", "/api/documents", b"".join(parts), {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )

    def collection(self, name):
        return self.call("POST", "/api/collections", {"name": name})[1]["id"]

    def wait_until_ended(self, jobs, seconds=1800):
        waiting, ended = set(jobs), {}
        until = time.monotonic() + seconds
        while waiting and time.monotonic() < until:
            for job in list(waiting):
                seen = self.call("GET", f"/api/jobs/{job}")[1]
                if seen.get("state") in ("done", "failed", "cancelled", "dead"):
                    waiting.discard(job)
                    ended[job] = seen
                else:
                    time.sleep(0.1)
        return ended, waiting

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


class Front(Server):
    """A front and a worker on a new installation on the servers that run."""

    command = "front"

    def __init__(self, binary, data, **environment):
        settings = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("QUAESTOR_QUEUE", "QUAESTOR_EVENTS", "QUAESTOR_OBJECTS", "AWS_"))
        }
        settings.update(services.fresh("quaestor_bench_run"), **environment)
        env = {**os.environ, **settings, "QUAESTOR_DATA_DIR": data, "QUAESTOR_ADMIN_KEY": KEY}
        subprocess.run([binary, "migrate"], env=env, check=True, stderr=subprocess.DEVNULL)
        subprocess.run([binary, "topology", "apply"], env=env, check=True, stdout=subprocess.DEVNULL)
        self.environment = settings
        self.worker = subprocess.Popen([binary, "worker"], env=env, stderr=subprocess.PIPE, text=True)
        for line in self.worker.stderr:
            if "health serves on " in line:
                self.worker_address = line.split("serves on http://")[1].strip()
                break
        else:
            sys.exit("the worker did not start")
        threading.Thread(target=lambda: [None for _ in self.worker.stderr], daemon=True).start()
        super().__init__(binary, data, **settings)

    def stop(self):
        self.worker.send_signal(signal.SIGTERM)
        super().stop()
        self.worker.wait(timeout=60)


def cpu_of_process(pid):
    """Its own CPU so far, in seconds."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metric(server, name, labelled=""):
    """The sum of a metric's series with this label, of the process that works."""
    address = server.worker_address if isinstance(server, Front) else server.address
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")) and labelled in line)


def scratch():
    return tempfile.mkdtemp(prefix="quaestor-bench-")


def bench_start(arguments):
    first, later, idle = [], [], []
    for _ in range(5):
        data = scratch()
        server = Server(arguments.bin, data)
        first.append(server.healthy_s)
        time.sleep(1)
        idle.append(server.rss_mb())
        server.stop()
        server = Server(arguments.bin, data)
        later.append(server.healthy_s)
        server.stop()
        shutil.rmtree(data)
    say(
        "start",
        first_start_s=round(statistics.median(first), 3),
        later_start_s=round(statistics.median(later), 3),
        idle_mb=round(statistics.median(idle), 1),
        repetitions=5,
    )


def cpu_of(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bench_pdf(arguments):
    if not shutil.which("pdftotext"):
        say("pdf", skipped="pdftotext (poppler-utils) is not installed")
        return
    folder = os.path.join(arguments.shared, "data/filings/pdf")
    target = os.path.dirname(arguments.bin)
    reader = os.path.join(target, "examples/pdf_text")
    if not os.path.exists(reader):
        say("pdf", skipped="build it: cargo build --release -p quaestor-pdf --example pdf_text")
        return
    ours, theirs = [], []
    for _ in range(5):
        ours.append(cpu_of(f"{reader} --quiet {folder}/*.pdf"))
        theirs.append(cpu_of(f"for f in {folder}/*.pdf; do pdftotext -layout $f /dev/null; done"))
    say(
        "pdf",
        cpu_s=round(statistics.median(ours), 3),
        pdftotext_layout_cpu_s=round(statistics.median(theirs), 3),
        ratio=round(statistics.median(a / b for a, b in zip(ours, theirs)), 3),
        repetitions=5,
    )


def files_under(folder):
    return sorted(
        path
        for path in glob.glob(os.path.join(folder, "**/*"), recursive=True)
        if os.path.isfile(path) and not path.endswith("MANIFEST.tsv")
    )


def bench_ingest(arguments):
    """Ingests the filings, then asks the questions over them."""
    filings = os.path.join(arguments.shared, "data/filings")
    for embed in ("none", "auto"):
        data = scratch()
        server = Server(arguments.bin, data, QUAESTOR_EMBED=embed)
        collection = server.collection("filings")
        files = files_under(filings)
        own_before, child_before = server.cpu_s()
        began = time.monotonic()
        items = server.upload(collection, files)[1]["items"]
        ended, waiting = server.wait_until_ended([item["job_id"] for item in items])
        wall = time.monotonic() - began
        own, child = server.cpu_s()
        documents = server.call("GET", "/api/documents?limit=200")[1]["items"]
        say(
            "ingest",
            embed=embed,
            files=len(files),
            ready=sum(document["status"] == "ready" for document in documents),
            failed=[document["filename"] for document in documents if document["status"] == "failed"],
            not_ended=len(waiting),
            chunks=sum(document["chunks"] for document in documents),
            wall_s=round(wall, 2),
            server_cpu_s=round(own - own_before, 2),
            parse_processes_cpu_s=round(child - child_before, 2),
            peak_mb=round(server.peak_mb(), 1),
        )
        for questions in arguments.questions:
            ask_questions(server, questions, embed)
        first_tokens(server, embed)
        say("memory", embed=embed, after_questions_mb=round(server.rss_mb(), 1), peak_mb=round(server.peak_mb(), 1))
        server.stop()
        shutil.rmtree(data)


def answers(server, questions):
    """Each question's answer with its citations, as a reader sees them."""
    found = {}
    for question in questions:
        conversation = server.call("POST", "/api/conversations", {})[1]["id"]
        asked = server.call("POST", f"/api/conversations/{conversation}/messages", {"content": question["question"]})[1]
        server.wait_until_ended([asked["job_id"]], 60)
        messages = server.call("GET", f"/api/conversations/{conversation}/messages")[1]["items"]
        answer = next(message for message in messages if message["id"] == asked["answer_id"])
        citations = [(c["ordinal"], c["filename"], c["page"], c["quote"]) for c in answer["citations"]]
        found[question["id"]] = (answer["content"], citations)
    return found


def bench_both(arguments):
    """The same files and questions, embedded and on services: the same answers?"""
    if "QUAESTOR_DATABASE_URL" not in os.environ:
        return say("both", skipped="no servers: run it as `scripts/services.sh with benches/run.py both`")
    questions = []
    for path in arguments.questions:
        with open(path) as lines:
            questions += [json.loads(line) for line in lines if line.strip()]
    files = files_under(os.path.join(arguments.shared, "data/filings"))
    for embed in arguments.embed or ("none", "auto"):
        given = {}
        for kind in (Server, Front):
            data = scratch()
            server = kind(arguments.bin, data, QUAESTOR_EMBED=embed)
            items = server.upload(server.collection("filings"), files)[1]["items"]
            _, waiting = server.wait_until_ended([item["job_id"] for item in items])
            if waiting:
                sys.exit(f"{len(waiting)} files were not ingested")
            given[kind] = answers(server, questions)
            server.stop()
            shutil.rmtree(data)
        embedded, services = given[Server], given[Front]
        say(
            "both",
            embed=embed,
            questions=len(questions),
            same_citations=sum(embedded[q][1] == services[q][1] for q in embedded),
            same_answer=sum(embedded[q] == services[q] for q in embedded),
            different=[q for q in embedded if embedded[q] != services[q]],
        )


def bench_sockets(arguments):
    """What an open WebSocket costs that says nothing."""
    kind = Front if "QUAESTOR_DATABASE_URL" in os.environ else Server
    count = 10_000
    # A limit on files for the server, which inherits it, and for this program's own sockets.
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 2_000, max(count + 2_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    data = scratch()
    server = kind(
        arguments.bin,
        data,
        QUAESTOR_EMBED="none",
        QUAESTOR_SERVER__MAX_CONNECTIONS=str(count + 1_000),
        QUAESTOR_SERVER__QUOTAS__REQUESTS_BURST="1000000",
        QUAESTOR_SERVER__QUOTAS__REQUESTS_PER_MINUTE="1000000",
    )
    host, port = server.address.split(":")
    hello = (
        f"GET /ws HTTP/1.1\r\nHost: {server.address}\r\nAuthorization: Bearer {KEY}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()

    async def connect(limit):
        async with limit:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(hello)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head.split(b"\r\n")[0]:
                sys.exit(f"a socket was refused: {head[:200]}")
            return reader, writer

    async def open_all():
        limit = asyncio.Semaphore(64)
        # Some first, so that what is made once is not counted.
        first = await asyncio.gather(*(connect(limit) for _ in range(100)))
        await asyncio.sleep(1)
        before, began = server.pss_kb(), time.monotonic()
        rest = await asyncio.gather(*(connect(limit) for _ in range(count - 100)))
        took = time.monotonic() - began
        await asyncio.sleep(5)
        after, cpu = server.pss_kb(), sum(server.cpu_s())
        await asyncio.sleep(20)
        idle = sum(server.cpu_s()) - cpu
        say(
            "sockets",
            on="services" if kind is Front else "embedded",
            sockets=count,
            kib_each=round((after - before) / (count - 100), 2),
            server_mib=round(after / 1024, 1),
            opened_per_s=round((count - 100) / took),
            idle_cpu_percent=round(idle / 20 * 100, 2),
        )
        for _, writer in first + rest:
            writer.close()

    asyncio.run(open_all())
    server.stop()
    shutil.rmtree(data)


def digits(text):
    return "".join(c for c in str(text) if c.isalnum() or c == ".").lower()


def ask_questions(server, path, embed):
    with open(path) as lines:
        questions = [json.loads(line) for line in lines if line.strip()]
    cited = cited_first = quoted = 0
    missed = []
    for question in questions:
        conversation = server.call("POST", "/api/conversations", {})[1]["id"]
        asked = server.call("POST", f"/api/conversations/{conversation}/messages", {"content": question["question"]})[1]
        server.wait_until_ended([asked["job_id"]], 60)
        messages = server.call("GET", f"/api/conversations/{conversation}/messages")[1]["items"]
        answer = next(message for message in messages if message["id"] == asked["answer_id"])

        def right(citation):
            return citation["filename"] == os.path.basename(question["file"]) and (
                not question["pages"] or citation["page"] in question["pages"]
            )

        citations = answer["citations"]
        is_cited = any(right(citation) for citation in citations)
        quotes = [citation["quote"] for citation in citations if right(citation)]
        wanted = digits(question["value"])
        is_quoted = any(wanted in digits(quote) for quote in quotes) and wanted in digits(answer["content"])
        cited += is_cited
        cited_first += bool(citations) and right(citations[0])
        quoted += is_quoted
        if not (is_cited and is_quoted):
            missed.append({"id": question["id"], "cited": is_cited, "quoted": is_quoted})
    say(
        "questions",
        embed=embed,
        file=os.path.basename(path),
        questions=len(questions),
        cite_a_right_page=cited,
        cite_it_first=cited_first,
        quote_the_value=quoted,
        missed=missed,
    )


def first_tokens(server, embed):
    """POST message to first token event over SSE, beside the search alone."""
    question = "What was the total revenue for the three months ended September 30, 2023?"
    searches, tokens = [], []
    for n in range(60):
        began = time.monotonic()
        server.call("POST", "/api/search", {"query": question})
        searches.append(time.monotonic() - began)
        conversation = server.call("POST", "/api/conversations", {})[1]["id"]
        began = time.monotonic()
        asked = server.call("POST", f"/api/conversations/{conversation}/messages", {"content": question})[1]
        connection = http.client.HTTPConnection(server.address, timeout=60)
        connection.request("GET", f"/api/jobs/{asked['job_id']}/events", headers={"Authorization": f"Bearer {KEY}"})
        response = connection.getresponse()
        while True:
            line = response.readline()
            if b'"kind":"token"' in line or not line:
                break
        tokens.append(time.monotonic() - began)
        connection.close()
        server.wait_until_ended([asked["job_id"]], 60)
    half = lambda values: round(statistics.median(values[10:]) * 1000, 1)
    p95 = lambda values: round(sorted(values[10:])[int(len(values[10:]) * 0.95)] * 1000, 1)
    say(
        "first_token",
        embed=embed,
        search_p50_ms=half(searches),
        search_p95_ms=p95(searches),
        post_to_first_token_p50_ms=half(tokens),
        beyond_search_p50_ms=round(half(tokens) - half(searches), 1),
        repetitions=50,
    )


def bench_upload(arguments):
    data = scratch()
    path = os.path.join(data, "large.csv")
    block = b"date,isin,amount,comment\n" * 42_000
    with open(path, "wb") as file:
        while file.tell() < 500_000_000:
            file.write(block)
    server = Server(arguments.bin, data)
    collection = server.collection("large")
    server.call("GET", "/api/collections")
    time.sleep(1)
    server.reset_peak()
    before = server.rss_mb()
    began = time.monotonic()
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {KEY}",
         "-F", f"collection_id={collection}", "-F", f"file=@{path}", f"http://{server.address}/api/documents"],
        capture_output=True, text=True, check=True,
    )
    say(
        "upload_500mb",
        status=done.stdout,
        wall_s=round(time.monotonic() - began, 2),
        before_mb=round(before, 1),
        peak_mb=round(server.peak_mb(), 1),
        growth_mb=round(server.peak_mb() - before, 1),
    )
    server.stop()
    shutil.rmtree(data)


def bench_robust(arguments):
    folder = os.path.join(arguments.shared, "data/robustness")
    with open(os.path.join(folder, "MANIFEST.tsv")) as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE))
    data = scratch()
    server = Server(arguments.bin, data, QUAESTOR_EMBED="none")
    collection = server.collection("robustness")
    jobs, documents = [], {}
    began = time.monotonic()
    for row in rows:
        # One request a file: a name may come twice in different folders.
        status, answer = server.upload(collection, [os.path.join(folder, row["file"])])
        if status != 202:
            documents[row["file"]] = None
            say("robustness_refused", file=row["file"], status=status, answer=str(answer)[:200])
            continue
        item = answer["items"][0]
        documents[row["file"]] = (item["document_id"], item["job_id"])
        jobs.append(item["job_id"])
    ended, waiting = server.wait_until_ended(jobs)
    classes, lost = {}, []
    for row in rows:
        if documents[row["file"]] is None:
            outcome = "refused"
        else:
            job = ended.get(documents[row["file"]][1], {"state": "never ended"})
            outcome = job["state"]
            if outcome == "failed":
                outcome = "failed:" + job["problem"]["code"]
        classes.setdefault(row["class"], {}).setdefault(outcome, 0)
        classes[row["class"]][outcome] += 1
        if row["class"].endswith("-text") and "no-text" not in row["class"] and outcome != "done":
            lost.append((row["file"], outcome))
    should_open = sum(row["class"].endswith("-text") and "no-text" not in row["class"] for row in rows)
    say(
        "robustness",
        files=len(rows),
        never_ended=len(waiting),
        should_open=should_open,
        lost=lost,
        kept_percent=round(100 * (1 - len(lost) / should_open), 2),
        peak_mb=round(server.peak_mb(), 1),
        wall_s=round(time.monotonic() - began, 1),
        health=server.call("GET", "/health")[1]["status"],
        classes=classes,
    )
    server.stop()
    shutil.rmtree(data)


BENCHES = {
    "start": bench_start,
    "pdf": bench_pdf,
    "ingest": bench_ingest,
    "upload": bench_upload,
    "robust": bench_robust,
    "sockets": bench_sockets,
    "both": bench_both,
}


def main():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(target, "release/quaestor"))
    parser.add_argument("--shared", default=os.environ.get("QUAESTOR_SHARED", os.path.join(ROOT, "../shared")))
    parser.add_argument("--questions", action="append", default=[])
    parser.add_argument("--embed", action="append", default=[])
    parser.add_argument("which", nargs="*", default=[])
    arguments = parser.parse_args()
    if not arguments.questions:
        arguments.questions = [os.path.join(arguments.shared, "data/questions.jsonl")]
        arguments.questions += sorted(glob.glob(os.path.join(ROOT, "benches/retrieval/questions/*.jsonl")))
    has_shared = os.path.isdir(os.path.join(arguments.shared, "data"))
    for name in arguments.which or BENCHES:
        if name in ("pdf", "ingest", "robust", "both") and not has_shared:
            say(name, skipped="the folder of real documents (--shared) is not here")
            continue
        BENCHES[name](arguments)


if __name__ == "__main__":
    main()
