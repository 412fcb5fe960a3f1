#!/usr/bin/env python3
"""Measures a reindexing beside searches, and beside a Python program that does the same work.

usage: benches/reindex.py [--bin PATH] [--models PATH] [--passages N] [--minilm-passages N] [minilm|fake]...
       scripts/services.sh with benches/reindex.py --distributed

A collection of so many short passages (about 350 characters) that has vectors of one model gets those
of another: `fake` of a provider that answers after 0.5 ms for each text, `minilm` of the built-in
model, which a small collection beside it has already. The first half is made in turns: a part by
Quaestor, with nothing else going on, and a part by the reference (benches/reindex_reference.py),
while Quaestor is paused. For both the CPU of the processes that do it is counted: of one process, or
of front and worker; the servers' own CPU and the provider's are not. While the second half is made,
searches go over all collections at a steady rate, as they did before when nothing was made; how long
one takes is counted from when it was due. Last comes the switch, of which the worker's metric says
how long it took.

The reference's packages go into a folder of the cache; those of `minilm` are large (torch). Where
they cannot be had, and with `--no-reference`, there are Quaestor's figures alone. Every figure is
printed as one JSON line. Servers are started on free loopback ports and scratch folders, and stopped
by pid.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time

import overload
import run
from overload import at
from run import KEY, say

CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
FOLDER = os.path.join(CACHE, "quaestor/models/all-MiniLM-L6-v2")
VENV = os.path.join(CACHE, "quaestor/reference/venv")
PACKAGES = {"fake": "openai httpx orjson numpy psycopg[binary] pgvector", "minilm": "torch sentence-transformers"}
FIRST, SECOND, DIMENSIONS = "text-embedding-3-small", "text-embedding-3-large", 384
# What the provider takes for each text.
TEXT_US = 500
PASSAGES_OF_A_FILE = 1_000
# A reindexing is looked at so often, in seconds.
LOOK_EVERY = 0.25
SWITCH = "quaestor_generation_switch_seconds"


def report(first, count):
    """So many sections, each of which becomes a passage of its own."""
    lines = [f"# Halden Bond Fund, part {first}\n"]
    for n in range(first, first + count):
        lines.append(
            f"## Holding {n}\n\nThe fund holds bond number {n} of the Halden series, due in {2026 + n % 30}. Its coupon of "
            f"{n % 9}.{n % 97:02d} percent is paid each March, and its rating was confirmed in the year under review. The nominal "
            f"was {n * 7919 % 999_983} thousand and the market value {n * 104_729 % 999_979} thousand, of which the committee "
            f"sold lot {n * 31 % 8_191} in the quarter before.\n"
        )
    return "\n".join(lines)


def python_of_reference(kind):
    """The interpreter with what the reference needs; none where that cannot be had."""
    python = os.path.join(VENV, "bin/python")
    try:
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        for part in ("fake", kind):
            mark = os.path.join(VENV, f"{part}.there")
            if not os.path.exists(mark):
                subprocess.run([python, "-m", "pip", "install", "-q", "--no-cache-dir", *PACKAGES[part].split()], check=True)
                open(mark, "w").close()
    except subprocess.CalledProcessError as error:
        return say("reindex_reference", of=kind, skipped=f"its packages could not be had: {error}")
    return python


class Reference:
    """The Python program, asked for a part at a time."""

    def __init__(self, python, kind, database, *rest):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reindex_reference.py")
        self.kind, self.parts, self.offset = kind, [], 0
        self.process = subprocess.Popen(
            [python, script, kind, database, *rest],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"},
        )
        if not self.process.stdout.readline():
            sys.exit(f"the reference {kind} did not start")

    def part(self, count):
        self.process.stdin.write(f"{self.offset} {count}\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        self.offset += count
        self.parts.append(told)

    def cpu_ms(self):
        return [1000 * part["cpu_s"] / part["passages"] for part in self.parts]

    def per_s(self):
        return [part["passages"] / part["wall_s"] for part in self.parts]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


class Searches:
    """Searches at a steady rate, in threads of their own, until they are stopped."""

    def __init__(self, server, rate, passages):
        self.server, self.rate, self.passages = server, rate, passages
        self.took, self.failed, self.by = [], 0, set()
        self.local, self.stopped = threading.local(), threading.Event()
        self.thread = threading.Thread(target=self.all)
        self.thread.start()

    def all(self):
        began, number = time.monotonic(), 0
        with concurrent.futures.ThreadPoolExecutor(16) as threads:
            while not self.stopped.wait(max(0.0, began + number / self.rate - time.monotonic())):
                threads.submit(self.one, began + number / self.rate, number * 7919 % self.passages)
                number += 1

    def one(self, due, holding):
        if getattr(self.local, "connection", None) is None:
            self.local.connection = http.client.HTTPConnection(self.server.address, timeout=60)
        body = json.dumps({"query": f"What was the market value of bond number {holding} of the Halden series?"})
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        self.local.connection.request("POST", "/api/search", body, headers)
        response = self.local.connection.getresponse()
        answer = json.loads(response.read())
        self.took.append((time.monotonic() - due) * 1000)
        self.failed += response.status != 200 or not answer["passages"]
        self.by.add(answer.get("searched_by"))

    def stop(self):
        self.stopped.set()
        self.thread.join()
        return self


class Reindexing:
    """A collection's next generation, as HTTP shows it."""

    def __init__(self, server, collection, model):
        self.server, self.path, self.model = server, f"/api/collections/{collection}", model
        status, accepted = server.call("POST", f"{self.path}/reindex", {"embedding_model": model})
        if status != 202:
            sys.exit(f"a reindexing was answered {status}: {accepted}")
        self.job = accepted["job_id"]

    def done(self):
        """How many passages have their vector, and whether the search has changed over."""
        for one in self.server.call("GET", f"{self.path}/generations")[1]["items"]:
            if one["model"] == self.model and one["state"] in ("building", "current"):
                return one["passages"], one["state"] == "current"
        sys.exit("the generation is gone")

    def until(self, wanted, patience=7200):
        """Waits until so many are done. Gives how many are, and whether it has ended."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            seen = self.done()
            if seen[0] >= wanted or seen[1]:
                return seen
            time.sleep(LOOK_EVERY)
        sys.exit(f"the reindexing stands at {seen}")

    def pause(self):
        self.server.call("POST", f"{self.path}/reindex/pause")
        while not self.done()[1] and self.reason() != "reindex_paused":
            time.sleep(LOOK_EVERY)

    def resume(self):
        self.server.call("POST", f"{self.path}/reindex/resume")

    def reason(self):
        return self.server.call("GET", f"/api/jobs/{self.job}")[1]["reason"]

    def wait_for_switch(self):
        while not self.done()[1]:
            time.sleep(LOOK_EVERY)


def cpu_s(server):
    """Of the processes that do the work: one, or front and worker."""
    pids = [server.process.pid] + ([server.worker.pid] if isinstance(server, run.Front) else [])
    return sum(run.cpu_of_process(pid) for pid in pids)


def switches(server):
    """How often the process that works has switched, and how many milliseconds that took."""
    return run.metric(server, f"{SWITCH}_count"), 1000 * run.metric(server, f"{SWITCH}_sum")


def upload(server, collection, data, passages):
    """Files with so many passages. Gives how many the collection has in the end."""
    jobs = []
    for first in range(0, passages, PASSAGES_OF_A_FILE):
        path = os.path.join(data, f"part-{first}.md")
        with open(path, "w") as file:
            file.write(report(first, min(PASSAGES_OF_A_FILE, passages - first)))
        while True:
            status, accepted = server.upload(collection, [path])
            if status == 202:
                break
            if status not in (429, 503):
                sys.exit(f"an upload was answered {status}: {accepted}")
            time.sleep(accepted.get("retry_after_s") or 1)
        jobs.append(accepted["items"][0]["job_id"])
        os.remove(path)
    ended, waiting = server.wait_until_ended(jobs, 14_400)
    bad = [job for job in ended.values() if job["state"] != "done"]
    if bad or waiting:
        sys.exit(f"{len(bad)} files failed and {len(waiting)} never ended: {bad[:1]}")
    return server.call("GET", f"/api/collections/{collection}/generations")[1]["items"][0]["passages"]


def wait_for_index(server, patience=1800):
    """Until PostgreSQL has built the index of the first vectors, which upkeep does by itself: until
    then a search reads all of them."""
    sql = (
        "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relname LIKE 'vectors%near' AND i.indisvalid"
    )
    end = time.monotonic() + patience
    while time.monotonic() < end:
        asked = ["psql", "-Atq", server.environment["QUAESTOR_DATABASE_URL"], "-c", sql]
        if int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout) > 0:
            return
        time.sleep(1)
    sys.exit("the index of the first vectors is not there")


def medians(values):
    return round(statistics.median(values), 3) if values else None


def bench(kind, arguments):
    wanted = arguments.minilm_passages if kind == "minilm" else arguments.passages
    if kind == "minilm" and not os.path.exists(os.path.join(FOLDER, "model.safetensors")):
        return say("reindex", of=kind, skipped="the model is not here: `make model` fetches it")
    python = None if arguments.no_reference else python_of_reference(kind)
    model = overload.Model(arguments.models, TEXT_US)
    second = f"minilm:{FOLDER}" if kind == "minilm" else f"openai:{SECOND}={DIMENSIONS}"
    name = os.path.basename(FOLDER) if kind == "minilm" else f"openai:{SECOND}"
    data = run.scratch()
    server = (run.Front if arguments.distributed else run.Server)(
        arguments.bin,
        data,
        **model.environment,
        QUAESTOR_EMBED=f"openai:{FIRST}",
        QUAESTOR_MODELS__EMBED_DIMENSIONS=str(DIMENSIONS),
        QUAESTOR_EMBED_ALSO=second,
        QUAESTOR_SERVER__QUOTAS__REQUESTS_BURST="1000000",
        QUAESTOR_SERVER__QUOTAS__REQUESTS_PER_MINUTE="1000000",
        QUAESTOR_SERVER__QUOTAS__UPLOADS_BURST="1000000",
        QUAESTOR_SERVER__QUOTAS__UPLOADS_PER_MINUTE="1000000",
    )
    if kind == "minilm":
        # Searches ask the built-in model too, before and during.
        small = server.collection("small")
        upload(server, small, data, 20)
        Reindexing(server, small, name).wait_for_switch()
    collection = server.collection("large")
    passages = upload(server, collection, data, wanted)
    if arguments.distributed:
        wait_for_index(server)
    # A search of before the measured ones loads what is loaded once.
    Searches(server, 2, passages).stop()

    idle = Searches(server, arguments.rate, passages)
    time.sleep(arguments.seconds)
    idle.stop()

    references = []
    if python is not None:
        database = server.environment["QUAESTOR_DATABASE_URL"] if arguments.distributed else os.path.join(data, "quaestor.db")
        if kind == "minilm":
            references.append(Reference(python, "minilm", database, FOLDER))
        else:
            url = model.environment["OPENAI_BASE_URL"]
            references += [Reference(python, client, database, url, SECOND) for client in ("httpx", "openai")]
    counted, switch_ms = switches(server), None
    cpu, began, start = cpu_s(server), time.monotonic(), 0
    reindexing = Reindexing(server, collection, name)
    cpu_ms, per_s = [], []
    for turn in range(arguments.turns):
        end, over = reindexing.until(passages * (turn + 1) // (2 * arguments.turns))
        per_s.append((end - start) / (time.monotonic() - began))
        # Once it stands still, the CPU is that of just so many passages.
        reindexing.pause()
        end, over = reindexing.done()
        cpu_ms.append(1000 * (cpu_s(server) - cpu) / (end - start))
        if over:
            break
        for reference in references:
            reference.part(max(64, min(end - start, arguments.reference_passages)))
        cpu, began, start = cpu_s(server), time.monotonic(), end
        reindexing.resume()
    for reference in references:
        reference.stop()

    start, began = reindexing.done()[0], time.monotonic()
    beside = Searches(server, arguments.rate, passages)
    reindexing.until(passages)
    filled = time.monotonic()
    during = len(beside.took)
    reindexing.wait_for_switch()
    switched_s = time.monotonic() - filled
    beside.stop()
    after = switches(server)
    if after[0] > counted[0]:
        switch_ms = round((after[1] - counted[1]) / (after[0] - counted[0]), 1)
    theirs = {
        f"{one.kind}_{what}": value
        for one in references
        for what, value in (
            ("cpu_ms_per_passage", medians(one.cpu_ms())),
            ("passages_per_s", round(statistics.median(one.per_s()), 1)),
            ("times_its_cpu", medians([a / b for a, b in zip(cpu_ms, one.cpu_ms())])),
        )
    }
    say(
        "reindex",
        of=kind,
        distributed=arguments.distributed,
        passages=passages,
        turns=len(cpu_ms),
        passages_per_s=round(statistics.median(per_s), 1) if per_s else None,
        cpu_ms_per_passage=medians(cpu_ms),
        **theirs,
        passages_per_s_beside_searches=round((passages - start) / (filled - began), 1),
        searched_by=sorted(str(by) for by in idle.by | beside.by),
        searches=[len(idle.took), during],
        searches_failed=idle.failed + beside.failed,
        search_alone_p50_ms=at(50, idle.took),
        search_alone_p95_ms=at(95, idle.took),
        search_beside_p50_ms=at(50, beside.took[:during]),
        search_beside_p95_ms=at(95, beside.took[:during]),
        times_as_long_p95=round(at(95, beside.took[:during]) / at(95, idle.took), 2) if during else None,
        search_at_switch_max_ms=round(max(beside.took[during:], default=0), 1),
        switch_ms=switch_ms,
        filled_to_switched_s=round(switched_s, 1),
    )
    server.stop()
    model.stop()
    shutil.rmtree(data)


def main():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(overload.ROOT, "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(target, "release/quaestor"))
    parser.add_argument("--models", default=os.path.join(target, "release/quaestor-model-server"))
    parser.add_argument("--passages", type=int, default=100_000, help="of `fake`")
    parser.add_argument("--minilm-passages", type=int, default=None, help="of `minilm`; as many unless it is named")
    parser.add_argument("--turns", type=int, default=3, help="parts of the first half, each with one of the reference")
    parser.add_argument("--reference-passages", type=int, default=10_000, help="the largest part that the reference does")
    parser.add_argument("--rate", type=float, default=5, help="searches a second")
    parser.add_argument("--seconds", type=float, default=40, help="how long searches go alone")
    parser.add_argument("--no-reference", action="store_true")
    parser.add_argument("--distributed", action="store_true", help="a front and a worker on the servers that run")
    parser.add_argument("which", nargs="*", default=[])
    arguments = parser.parse_args()
    if arguments.minilm_passages is None:
        arguments.minilm_passages = arguments.passages
    for kind in arguments.which or ("fake", "minilm"):
        bench(kind, arguments)


if __name__ == "__main__":
    main()
