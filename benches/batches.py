#!/usr/bin/env python3
"""Measures one batch of many small files. Standard library only.

usage: benches/batches.py [--bin PATH] [--models PATH] [--files N] [--together N] [--seconds N]
                          [--embed]
       scripts/services.sh with benches/batches.py --distributed

Ten thousand small files are sent to one batch, a hundred in a request, over as many connections as
the command line uses. Meanwhile questions are asked one after the other, as they were before, when
nothing else was done. Counted: files that are accepted a second, the memory of the process that
takes them, the time until the first token of an answer before, during and after, how long a look at
the batch takes, and whether every file came to its end; with `--embed` also how many requests the
provider of vectors got, which answers half a millisecond for each text after it was asked. The model is the tests' own server
(`cargo build -p quaestor-model-server`), whose answers take a fixed time.

Every figure is printed as one JSON line. Servers are started on free loopback ports and scratch
folders, and stopped by pid.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import shutil
import statistics
import sys
import threading
import time

import overload
import run
from overload import at
from run import KEY, say

BOUNDARY = "quaestor-bench"
# What the provider of vectors takes for each text.
TEXT_US = 500
# Requests at once, as `quaestor ingest` sends them.
CONNECTIONS = 4


def body(collection, batch, first, count):
    """A request of many files; each is some hundred bytes, and no two are the same."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("collection_id", collection), ("batch_id", batch))
    ]
    for number in range(first, first + count):
        text = f"Report {number}. " + f"Holding {number} was valued at {number * 7} on the day. " * 12
        parts.append(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="report-{number}.txt"\r\n'
            f"Content-Type: text/plain\r\n\r\n{text}\r\n"
        )
    parts.append(f"--{BOUNDARY}--\r\n")
    return "".join(parts).encode()


def send(server, bodies):
    """Sends the requests. Gives the seconds until the last was answered, and refusals."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    local, refused = threading.local(), []

    def one(content):
        while True:
            if getattr(local, "connection", None) is None:
                local.connection = http.client.HTTPConnection(server.address, timeout=300)
            local.connection.request("POST", "/api/documents", content, headers)
            response = local.connection.getresponse()
            status, text = response.status, response.read()
            if status == 202:
                return
            refused.append(status)
            if status not in (429, 503):
                sys.exit(f"an upload was answered {status}: {text[:500]}")
            time.sleep(int(response.headers.get("Retry-After", 1)))

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as threads:
        for sent in [threads.submit(one, content) for content in bodies]:
            sent.result()
    return time.monotonic() - began, len(refused)


def first_token(asker):
    """Milliseconds from a question to the first token of its answer."""
    began = time.monotonic()
    asked = asker.ask()
    if asked["status"] != 202:
        return None
    connection = http.client.HTTPConnection(asker.server.address, timeout=60)
    connection.request("GET", f"/api/jobs/{asked['job']}/events", headers={"Authorization": f"Bearer {KEY}"})
    response = connection.getresponse()
    while line := response.readline():
        if b'"kind":"token"' in line:
            took = (time.monotonic() - began) * 1000
            connection.close()
            return took
    return None


def first_tokens(asker, until):
    took = []
    while not until():
        one = first_token(asker)
        if one is not None:
            took.append(one)
    return took


class Memory:
    """The memory of the process that takes the files, looked at all the while."""

    def __init__(self, server):
        self.server, self.seen, self.stop = server, [], threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.stop.wait(0.2):
            self.seen.append(self.server.rss_mb())

    def end(self):
        self.stop.set()
        self.thread.join()
        return self.seen or [self.server.rss_mb()]


def bench(arguments):
    model = overload.Model(arguments.models, TEXT_US)
    vectors = {"QUAESTOR_EMBED": "openai:text-embedding-3-small", "QUAESTOR_MODELS__EMBED_DIMENSIONS": "384"}
    quotas = {"QUAESTOR_SERVER__QUOTAS__UPLOADS_BURST": "1000000", "QUAESTOR_SERVER__QUOTAS__UPLOADS_PER_MINUTE": "1000000"}
    server, data = overload.start(arguments, model, **quotas, **(vectors if arguments.embed else {}))
    asker = overload.Asker(server)
    collection = server.collection("batch")
    # What is kept for the first uploads is no growth: a hundred files come before.
    warm = server.call("POST", "/api/batches", {"name": "warm", "total": arguments.together})[1]["id"]
    send(server, [body(collection, warm, 10_000_000, arguments.together)])
    while server.call("GET", f"/api/batches/{warm}")[1]["state"] != "done":
        time.sleep(0.1)
    quiet = time.monotonic() + arguments.seconds
    alone = first_tokens(asker, lambda: time.monotonic() > quiet)

    made = server.call("POST", "/api/batches", {"name": "bench", "total": arguments.files})[1]
    batch = made["id"]
    bodies = [
        body(collection, batch, first, min(arguments.together, arguments.files - first))
        for first in range(0, arguments.files, arguments.together)
    ]
    asked_before = run.metric(server, "quaestor_model_calls_total", 'operation="embed"') if arguments.embed else None
    before, memory, ended = server.rss_mb(), Memory(server), threading.Event()
    beside, looks, result = [], [], {}

    def ask():
        beside.extend(first_tokens(asker, ended.is_set))

    def upload():
        result["accept_s"], result["refused"] = send(server, bodies)
        result["accept_memory"] = list(memory.seen)

    asking, uploading = threading.Thread(target=ask), threading.Thread(target=upload)
    began = time.monotonic()
    asking.start()
    uploading.start()
    rates = []
    while True:
        looked = time.monotonic()
        seen = server.call("GET", f"/api/batches/{batch}")[1]
        looks.append((time.monotonic() - looked) * 1000)
        if seen["rate"]:
            rates.append(seen["rate"])
        if seen["state"] == "done" or time.monotonic() - began > arguments.patience:
            break
        time.sleep(0.5)
    taken = time.monotonic() - began
    ended.set()
    uploading.join()
    asking.join()
    seen_memory = memory.end()
    # The same questions over the same files, with nothing else going on: what the files alone cost.
    quiet = time.monotonic() + arguments.seconds
    after = first_tokens(asker, lambda: time.monotonic() > quiet)
    say(
        "batch",
        distributed=arguments.distributed,
        files=arguments.files,
        accepted_per_s=round(arguments.files / result["accept_s"], 1),
        requests_refused=result["refused"],
        terminal=seen["done"] + seen["failed"] + seen["cancelled"],
        failed=seen["failed"],
        state=seen["state"],
        **(
            # Each question asks too.
            {"embed_requests": run.metric(server, "quaestor_model_calls_total", 'operation="embed"') - asked_before - len(beside)}
            if arguments.embed
            else {}
        ),
        files_per_s=round(arguments.files / taken, 1),
        told_rate_p50=round(statistics.median(rates), 1) if rates else None,
        memory_before_mb=round(before, 1),
        memory_growth_while_accepting_mb=round(max(result["accept_memory"] or [before]) - before, 1),
        memory_growth_mb=round(max(seen_memory) - before, 1),
        look_p50_ms=at(50, looks),
        look_max_ms=round(max(looks), 1),
        first_token_alone_p50_ms=at(50, alone),
        first_token_alone_p95_ms=at(95, alone),
        first_token_beside_p50_ms=at(50, beside),
        first_token_beside_p95_ms=at(95, beside),
        first_token_after_p50_ms=at(50, after),
        first_token_after_p95_ms=at(95, after),
        times_as_long_p95=round(at(95, beside) / at(95, alone), 2) if alone and beside else None,
        times_as_long_as_after_p95=round(at(95, beside) / at(95, after), 2) if after and beside else None,
    )
    server.stop()
    model.stop()
    shutil.rmtree(data)


def main():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(overload.ROOT, "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(target, "release/quaestor"))
    parser.add_argument("--models", default=os.path.join(target, "release/quaestor-model-server"))
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--together", type=int, default=100, help="files in a request")
    parser.add_argument("--seconds", type=float, default=20, help="how long questions are asked alone")
    parser.add_argument("--embed", action="store_true", help="files are searchable by meaning too")
    parser.add_argument("--patience", type=float, default=1800, help="seconds until files count as stuck")
    parser.add_argument("--distributed", action="store_true", help="a front and a worker on the servers that run")
    bench(parser.parse_args())


if __name__ == "__main__":
    main()
