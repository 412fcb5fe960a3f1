#!/usr/bin/env python3
"""The same reindexing as an ordinary Python program does it, for benches/reindex.py to compare with.

usage: PYTHON benches/reindex_reference.py minilm|httpx|openai DATABASE [MODEL_FOLDER|PROVIDER_URL MODEL]

It reads passages from the database that Quaestor has filled, has vectors made of them, and stores
these: in a SQLite file of its own, or in a table of its own of PostgreSQL. `minilm` is
sentence-transformers on torch, on one thread; `httpx` (with orjson) and `openai` ask a provider, 64
texts in a request and four requests at once, as Quaestor does. For each line `OFFSET COUNT` on its
standard input it works on so many passages and prints what that took as one line of JSON. Loading
of libraries and of the model is not counted.
"""

import asyncio
import json
import os
import sqlite3
import sys
import time

import numpy

DIMENSIONS = 384
TEXTS, AT_ONCE = 64, 4
# As `backends/src/store/sql/embed.rs` joins them.
PASSAGES = """SELECT c.key, v.title, c.section, c.header, c.text FROM chunks c JOIN versions v ON v.key = c.version_key
    ORDER BY c.key LIMIT {} OFFSET {}"""


class Sqlite:
    """Passages from one file, vectors into another."""

    def __init__(self, path):
        self.passages = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.vectors = sqlite3.connect(os.path.join(os.path.dirname(path), "reference.db"))
        self.vectors.execute("PRAGMA journal_mode = WAL")
        self.vectors.execute("PRAGMA synchronous = NORMAL")
        self.vectors.execute("CREATE TABLE IF NOT EXISTS vectors (chunk_key INTEGER PRIMARY KEY, vector BLOB NOT NULL)")

    def read(self, offset, count):
        return self.passages.execute(PASSAGES.format(count, offset)).fetchall()

    def write(self, keys, vectors):
        rows = [(key, vector.tobytes()) for key, vector in zip(keys, vectors)]
        with self.vectors:
            self.vectors.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)


class Postgres:
    """Passages and vectors in one database; vectors go in by binary COPY, as pgvector advises."""

    def __init__(self, url):
        import pgvector
        import pgvector.psycopg
        import psycopg

        self.half = pgvector.HalfVector
        self.connection = psycopg.connect(url)
        self.connection.execute("SET synchronous_commit = off")
        self.connection.execute(f"CREATE UNLOGGED TABLE IF NOT EXISTS reference_vectors (chunk_key BIGINT, vector HALFVEC({DIMENSIONS}))")
        self.connection.commit()
        pgvector.psycopg.register_vector(self.connection)

    def read(self, offset, count):
        rows = self.connection.execute(PASSAGES.format(count, offset)).fetchall()
        self.connection.commit()
        return rows

    def write(self, keys, vectors):
        with self.connection.cursor().copy("COPY reference_vectors (chunk_key, vector) FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "halfvec"])
            for key, vector in zip(keys, vectors):
                copy.write_row([key, self.half(vector)])
        self.connection.commit()


def portions(rows):
    """Keys and texts, as many as go into a request."""
    for first in range(0, len(rows), TEXTS):
        some = rows[first : first + TEXTS]
        yield [row[0] for row in some], ["\n".join(part for part in row[1:] if part) for row in some]


def minilm(folder):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    torch.set_num_threads(1)
    bert = modules.Transformer(folder, max_seq_length=256)
    pooling = modules.Pooling(bert.get_embedding_dimension(), pooling_mode="mean")
    model = SentenceTransformer(modules=[bert, pooling, modules.Normalize()], device="cpu")

    def work(database, rows):
        for keys, texts in portions(rows):
            database.write(keys, model.encode(texts, batch_size=32, show_progress_bar=False))

    return work


def asked_by(ask):
    """Works with a function that asks a provider, four requests at once."""
    loop = asyncio.new_event_loop()

    async def all_of(database, rows):
        free = asyncio.Semaphore(AT_ONCE)

        async def one(keys, texts):
            async with free:
                vectors = await ask(texts)
            database.write(keys, vectors)

        await asyncio.gather(*(one(keys, texts) for keys, texts in portions(rows)))

    return lambda database, rows: loop.run_until_complete(all_of(database, rows))


def unit(vectors):
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


def httpx(url, model):
    import httpx
    import orjson

    client = httpx.AsyncClient(timeout=60, headers={"authorization": "Bearer sk-none", "content-type": "application/json"})

    async def ask(texts):
        body = orjson.dumps({"model": model, "input": texts, "dimensions": DIMENSIONS, "encoding_format": "float"})
        response = await client.post(f"{url}/embeddings", content=body)
        response.raise_for_status()
        data = sorted(orjson.loads(response.content)["data"], key=lambda item: item["index"])
        return unit(numpy.array([item["embedding"] for item in data], dtype=numpy.float32))

    return asked_by(ask)


def openai(url, model):
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="sk-none", timeout=60)

    async def ask(texts):
        answer = await client.embeddings.create(model=model, input=texts, dimensions=DIMENSIONS, encoding_format="float")
        data = sorted(answer.data, key=lambda item: item.index)
        return unit(numpy.array([item.embedding for item in data], dtype=numpy.float32))

    return asked_by(ask)


def main():
    kind, database, *rest = sys.argv[1:]
    work = {"minilm": minilm, "httpx": httpx, "openai": openai}[kind](*rest)
    database = Sqlite(database) if os.path.exists(database) else Postgres(database)
    work(database, database.read(0, TEXTS))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        offset, count = map(int, line.split())
        began, cpu = time.monotonic(), time.process_time()
        rows = database.read(offset, count)
        work(database, rows)
        took = {"passages": len(rows), "cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - began}
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
