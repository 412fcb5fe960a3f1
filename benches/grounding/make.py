#!/usr/bin/env python3
"""Makes labelled answers, right and altered, from TAT-QA and FinQA. Standard library only.

usage: benches/grounding/make.py [--shared DIR] [--seed N] [--sample N] [--out FILE]

Each line is a document (its paragraphs and its table as HTML) or an answer over it. Answers are the sets' own
questions turned into statements ("What was X in 2019?" becomes "X in 2019 was $5 million [1].") and sentences, lists
and tables written from the tables. Right ones say what the set's answer or derivation says; altered ones have one
figure changed, of one kind: digit, scale, sign, unit, row, column, derivation. Documents are split by the hash of their
name into a half to tune on and a half held out. The same seed gives the same file.
"""

import argparse
import hashlib
import html
import json
import os
import random
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NUMBER = re.compile(r"^[\s$€£]*\(?[-−–]?[\s$€£]*\(?[-−–]?\d[\d,]*(?:\.\d+)?\)?\s*%?\)?$")
YEAR = re.compile(r"^(?:19|20)\d\d$")
SCALES = {"thousand": 3, "million": 6, "billion": 9}
WORDS = {3: "thousand", 6: "million", 9: "billion"}
# A document that states no scale gets answers without one: "$5 million" would be a guess.
STATED = re.compile(
    r"\bin (?:us)?[$€£ ]*(?:u\.s\. )?(?:thousand|million|billion)|\((?:[$€£]|dollars|amounts|us\$)?\s*(?:in )?(?:thousand|million|billion)s?"
    r"|['’‘]000|[$€£]\s?(?:m\b|million\b|thousand\b)(?<!\d)|dollars in|rmb.?million|(?:thousand|million|billion)s of (?:[$€£u]|dollar|euro)",
    re.IGNORECASE,
)
# Marks around the labelled figure while an answer is written.
OPEN, CLOSE = "\x01", "\x02"
STOP = set("the of and in for to a an is was were are at as on by from with that total net other what".split())


def value_of(text):
    """The number in a cell, with its sign; none where there is not exactly one."""
    if not NUMBER.match(text):
        return None
    digits = re.sub(r"[^\d.]", "", text)
    try:
        value = float(digits)
    except ValueError:
        return None
    return -value if re.search(r"[(−–-]\s*[$€£]?\s*\(?\d", text) else value


def words_of(text):
    words = re.findall(r"[a-z]+", re.sub(r"\(.*?\)", " ", text.lower()))
    return {word.rstrip("s") for word in words if word not in STOP and len(word) > 1}


class Table:
    """A table of the set: rows with figures, and what their columns are called."""

    def __init__(self, text):
        self.rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.split("\n")]
        self.columns, self.figures = {}, []
        begun = False
        for at, row in enumerate(self.rows):
            values = {n: value_of(cell) for n, cell in enumerate(row) if n and value_of(cell) is not None}
            values = {n: value for n, value in values.items() if not YEAR.match(row[n])}
            if values:
                begun = True
                if row[0]:
                    self.figures.append((at, row[0], values))
            elif not begun:
                for n, cell in enumerate(row):
                    if n and cell and not re.search(r"in (thousands|millions|billions)|^[$€£%]", cell.lower()):
                        self.columns[n] = (self.columns.get(n, "") + " " + cell).strip()
        self.text = "\n".join(" ".join(row) for row in self.rows)
        found = re.search(r"[$€£]", self.text)
        self.currency = found.group(0) if found else ""

    def year(self, column):
        years = re.findall(r"\b((?:19|20)\d\d)\b", self.columns.get(column, ""))
        return years[0] if len(set(years)) == 1 else None

    def find(self, value, question):
        """The cell that holds a value, if the question says which one is meant."""
        hits = [(r, n) for r, (_, _, values) in enumerate(self.figures) for n, v in values.items() if abs(v) == abs(value)]
        if len(hits) > 1:
            asked = words_of(question)
            years = set(re.findall(r"(?:19|20)\d\d", question))
            def fit(hit):
                label = words_of(self.figures[hit[0]][1])
                return (len(label & asked) / max(len(label), 1), self.year(hit[1]) in years)
            hits.sort(key=fit, reverse=True)
            if fit(hits[0]) == fit(hits[1]):
                return None
        return hits[0] if hits else None


def plain(value, like):
    """A number written as its cell is: with as many decimals and with marks of thousands."""
    digits = re.sub(r"[^\d.]", "", like)
    decimals = len(digits.split(".")[1]) if "." in digits else 0
    return f"{abs(value):,.{decimals}f}"


class Figure:
    """A figure as an answer may write it."""

    def __init__(self, value, digits, currency="", scale=0, percent=False):
        self.value, self.digits, self.currency, self.scale, self.percent = value, digits, currency, scale, percent

    def write(self, rng):
        tail = "%" if self.percent else (" " + WORDS[self.scale] if self.scale else "")
        if self.value >= 0:
            return self.currency + self.digits + tail
        forms = ["-" + self.currency + self.digits + tail]
        if not self.percent:
            forms.append(f"{self.currency}({self.digits}){tail}" if self.currency else f"({self.digits}){tail}")
        return rng.choice(forms)

    def with_value(self, value):
        return Figure(value, plain(value, self.digits), self.currency, self.scale, self.percent)


def changed_digit(figure, rng):
    """Another digit in one place, so that it does not round to the same."""
    places = [n for n, c in enumerate(figure.digits) if c.isdigit()]
    # The last of many digits is the hardest to see; any place may be changed.
    at = rng.choice(places)
    old = figure.digits[at]
    choices = [d for d in "0123456789" if d != old and not (at == places[0] and d == "0")]
    digits = figure.digits[:at] + rng.choice(choices) + figure.digits[at + 1 :]
    value = float(digits.replace(",", ""))
    return Figure(-value if figure.value < 0 else value, digits, figure.currency, figure.scale, figure.percent)


def changed_unit(figure, rng):
    if figure.percent:
        options = [Figure(figure.value, figure.digits, "$", 0, False)]
        if rng.random() < 0.5:
            options.append(Figure(figure.value, figure.digits, "", 6, False))
    elif figure.currency:
        other = rng.choice([c for c in "$€£" if c != figure.currency])
        options = [Figure(figure.value, figure.digits, other, figure.scale), Figure(figure.value, figure.digits, "", 0, True)]
    else:
        options = [Figure(figure.value, figure.digits, "", 0, True)]
    return rng.choice(options)


def changed_scale(figure, rng):
    if figure.scale:
        scale = rng.choice([s for s in (3, 6, 9) if s != figure.scale])
        return Figure(figure.value, figure.digits, figure.currency, scale)
    return None


def rounded(figure, rng):
    """The figure on the next scale with one or two decimals, or with fewer digits."""
    if figure.percent or not figure.scale or figure.scale == 9 or abs(figure.value) < 1000:
        return None
    decimals = rng.choice([1, 2])
    value = figure.value / 1000
    digits = f"{abs(value):,.{decimals}f}"
    return Figure(value, digits, figure.currency, figure.scale + 3)


def statement(question, answer):
    """The question with its answer as a sentence; none where it is no such question."""
    question = re.sub(r"\s+", " ", question).strip()
    found = re.match(r"^(What|How much) (is|was|were|are) (.*?)\s*\?$", question)
    if not found:
        return None
    verb, rest = found.group(2), found.group(3)
    if re.search(r"\bfigure\b.*\?|respectively", rest):
        return None
    return f"{rest[0].upper()}{rest[1:]} {verb} {answer}"


# Computations: what the set's derivation does, from its own writing.
NUM = r"\(?-?[$€£]?\s*\(?-?[\d,]+(?:\.\d+)?%?\)?"


def derivation(text):
    """(kind, operands) of a simple derivation, else none."""
    text = text.split("=")[0]
    flat = re.sub(r"[\s$€£%]", "", text).replace("−", "-").replace("[", "(").replace("]", ")")
    n = r"(\(?-?[\d,]+(?:\.\d+)?\)?|-?[\d,]+(?:\.\d+)?)"
    number = lambda piece: float(re.sub(r"[(),]", "", piece))
    found = re.fullmatch(rf"\(?{n}-{n}\)?/{n}", flat)
    if found and flat.startswith("("):
        a, b, c = map(number, found.groups())
        return ("growth", [a, b]) if b == c else None
    found = re.fullmatch(rf"{n}/{n}-1", flat)
    if found:
        return "growth", list(map(number, found.groups()))
    found = re.fullmatch(rf"{n}-{n}", flat) or re.fullmatch(rf"\({n}-{n}\)", flat)
    if found:
        return "difference", list(map(number, found.groups()))
    found = re.fullmatch(rf"{n}/{n}", flat) or re.fullmatch(rf"\({n}/{n}\)", flat)
    if found:
        return "ratio", list(map(number, found.groups()))
    found = re.fullmatch(r"\((-?[\d,.]+(?:\+-?[\d,.]+)+)\)/(\d+)", flat)
    if found:
        parts = [float(p.replace(",", "")) for p in found.group(1).split("+")]
        return ("average", parts) if len(parts) == int(found.group(2)) else None
    found = re.fullmatch(r"\(?(-?[\d,.]+(?:\+-?[\d,.]+)+)\)?", flat)
    if found:
        return "sum", [float(p.replace(",", "")) for p in found.group(1).split("+")]
    return None


def compute(kind, operands):
    if kind == "difference":
        return operands[0] - operands[1]
    if kind == "growth":
        return 100 * (operands[0] - operands[1]) / abs(operands[1]) if operands[1] else None
    if kind == "ratio":
        return operands[0] / operands[1] if operands[1] else None
    total = sum(operands)
    return total / len(operands) if kind == "average" else total


def wrong(kind, operands, table, rng):
    """The value of a computation that is not the one asked for."""
    a, b = operands[0], operands[1]
    options = []
    if kind == "growth":
        options += [100 * (a - b) / abs(a) if a else None, 100 * a / b]
    elif kind == "difference":
        options += [a + b]
    elif kind == "ratio":
        options += [b / a if a else None]
    elif kind == "average":
        options += [sum(operands), sum(operands) / (len(operands) + 1), (a - b) / 2]
    elif kind == "sum":
        options += [a - b, sum(operands[:-1]) if len(operands) > 2 else a, sum(operands) / len(operands)]
    # The same computation over another line.
    for _, label, values in rng.sample(table.figures, min(4, len(table.figures))):
        held = list(values.values())
        if len(held) >= 2 and not any(abs(o) in map(abs, held) for o in operands):
            options.append(compute(kind, held[: len(operands)]) if len(held) >= len(operands) else None)
    right = compute(kind, operands)
    options = [o for o in options if o is not None and right is not None and abs(abs(o) - abs(right)) > 0.02 * max(abs(right), 0.5)]
    return rng.choice(options) if options else None


class Maker:
    def __init__(self, seed):
        self.seed, self.lines, self.documents, self.n = seed, [], set(), 0

    def rng(self, *key):
        return random.Random("/".join([str(self.seed), *map(str, key)]))

    def add(self, doc, split, kind, of, form, question, answer, figure, source):
        """`answer` writes the answer around the figure; it is marked to know where it stands."""
        marked = answer(OPEN + figure + CLOSE)
        start, answer = marked.index(OPEN), marked.replace(OPEN, "").replace(CLOSE, "")
        self.n += 1
        self.lines.append(
            {"answer_of": doc, "id": f"{source}-{self.n}", "source": source, "split": split, "kind": kind, "of": of,
             "form": form, "question": question, "answer": answer, "figure": figure, "start": start}
        )


def load(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def page(parts):
    """Paragraphs and the table as HTML; the table after the paragraph that announces it."""
    out, table = [], next(t for k, t in parts if k == "table")
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell.strip())}</td>" for cell in line.strip().strip("|").split("|")) + "</tr>"
        for line in table.split("\n")
    )
    table = f"<table>{rows}</table>"
    texts = [t for k, t in parts if k == "text"]
    announced = next((n for n, t in enumerate(texts) if t.rstrip().endswith(":")), None)
    for n, text in enumerate(texts):
        out.append(f"<p>{html.escape(text)}</p>")
        if n == announced:
            out.append(table)
    if announced is None:
        out.insert(0, table)
    return "<html><body>" + "".join(out) + "</body></html>"


def tatqa(maker, folder):
    docs = {}
    for entry in load(os.path.join(folder, "corpus.jsonl")):
        docs.setdefault(entry["metadata"]["doc"], []).append((entry["metadata"]["kind"], entry["text"]))
    asked = {}
    for query in load(os.path.join(folder, "queries.jsonl")):
        asked.setdefault(query["metadata"]["doc"], []).append((query["text"], query["metadata"]))
    for doc in sorted(docs):
        if not any(kind == "table" for kind, _ in docs[doc]):
            continue
        split = "tune" if hashlib.sha256(doc.encode()).digest()[0] % 2 == 0 else "held"
        maker.lines.append({"document": doc, "html": page(docs[doc])})
        table = Table(next(t for k, t in docs[doc] if k == "table"))
        scales = {m["scale"] for _, m in asked.get(doc, []) if m["scale"] in SCALES and "table" in m["answer_from"]}
        stated = STATED.search("\n".join(t for _, t in docs[doc]))
        scale = SCALES[scales.pop()] if len(scales) == 1 and stated else 0
        for n, (question, meta) in enumerate(asked.get(doc, [])):
            from_question(maker, doc, split, table, scale, question, meta, n)
        from_table(maker, doc, split, table, scale)


def counts(table, row, column):
    """Whether a cell's label says that it is no amount of money."""
    label = table.figures[row][1].lower() + " " + table.columns.get(column, "").lower()
    return re.search(r"\bper\b|share|stock|rate|%|percent|year|employee|number|ratio|margin", label)


def figure_of(table, row, column, scale):
    at, _, values = table.figures[row]
    cell = table.rows[at][column]
    percent = "%" in cell
    currency = table.currency if any(c in cell for c in "$€£") else ""
    counted = percent or counts(table, row, column)
    return Figure(values[column], plain(values[column], cell), currency, 0 if counted else scale, percent)


def from_question(maker, doc, split, table, scale, question, meta, n):
    rng = maker.rng("q", doc, n)
    if meta["answer_type"] == "span" and meta["answer_from"] != "text" and len(meta["answer"]) == 1:
        value = value_of(meta["answer"][0])
        if value is None or YEAR.match(meta["answer"][0]):
            return
        place = table.find(value, question)
        if place is None:
            return
        row, column = place
        figure = figure_of(table, row, column, scale)
        emit_line(maker, doc, split, table, question, figure, place, rng,
                  lambda shown: (s := statement(question, shown)) and s + " [1].", "question")
    elif meta["answer_type"] == "arithmetic" and meta["derivation"]:
        read = derivation(meta["derivation"])
        if not read:
            return
        kind, operands = read
        value = compute(kind, operands)
        try:
            given = float(str(meta["answer"]).replace(",", ""))
        except ValueError:
            return
        percent = meta["scale"] == "percent"
        if value is None:
            return
        if kind == "ratio" and percent:
            value *= 100
        # The set's own arithmetic must hold, and its operands stand in the table.
        if abs(value - given) > 0.02 * max(1, abs(given) * 0.01):
            return
        if not all(any(abs(o) == abs(v) for _, _, vs in table.figures for v in vs.values()) for o in operands):
            return
        digits = f"{abs(given):,.2f}".rstrip("0").rstrip(".")
        if value and not float(digits.replace(",", "")):
            return
        # What counts shares, years or rates is no money, whatever else the table holds.
        counted = any(counts(table, r, n) for o in operands for r, (_, _, vs) in enumerate(table.figures)
                      for n, v in vs.items() if abs(v) == abs(o))
        money = table.currency if not percent and kind != "ratio" and scale and not counted else ""
        of_scale = SCALES.get(meta["scale"], 0) if meta["scale"] in SCALES and scale else 0
        figure = Figure(given, digits, money, of_scale, percent)
        emit_computed(maker, doc, split, table, question, figure, kind, operands, rng)


def emit_line(maker, doc, split, table, question, figure, place, rng, write, form):
    """A figure of the table in a sentence: right, and altered in each way."""
    row, column = place
    shown = figure.write(rng)
    first = write(shown)
    if not first:
        return
    put = lambda kind, of, text: maker.add(doc, split, kind, of, form, question, write, text, "tatqa")
    put("right", "copied", shown)
    small = rounded(figure, rng)
    if small and rng.random() < 0.5:
        text = small.write(rng)
        put("right", "rounded", text)
        other = changed_digit(small, rng).write(rng)
        put("digit", "rounded", other)
    _, label, values = table.figures[row]
    other = changed_digit(figure, rng)
    if all(abs(abs(v) - abs(other.value)) > 1e-9 for _, _, vs in table.figures for v in vs.values()):
        text = other.write(rng)
        put("digit", "copied", text)
    other = changed_scale(figure, rng)
    if other:
        text = other.write(rng)
        put("scale", "copied", text)
    if figure.value != 0:
        text = figure.with_value(-figure.value).write(rng)
        # "A loss of 5" may be told with or without its minus.
        if not re.search(r"loss|used|decrease|outflow|deficit", first.lower()):
            put("sign", "copied", text)
    unit = changed_unit(figure, rng)
    text = unit.write(rng)
    labelled = label.lower() + table.columns.get(column, "").lower()
    if not (unit.percent and re.search(r"rate|percent|%|margin|ratio|change|yield", labelled)) and (unit.percent or figure.percent or figure.currency):
        put("unit", "copied", text)
    # Another row: only where the sentence names the row, and values and names differ.
    sentence = words_of(first)
    own = words_of(label)
    if own and len(own & sentence) >= 0.6 * len(own):
        rows = [r for r, (_, l, vs) in enumerate(table.figures)
                if r != row and column in vs and abs(vs[column]) != abs(values[column])
                and words_of(l) != own and not words_of(l) <= sentence
                and ("%" in table.rows[table.figures[r][0]][column]) == figure.percent
                and abs(vs[column]) not in map(abs, values.values())]
        if rows:
            r = rng.choice(rows)
            text = figure_of(table, r, column, figure.scale).write(rng)
            if text != shown:
                put("row", "copied", text)
    if table.year(column) and table.year(column) in first:
        columns = [c for c, v in values.items() if c != column and table.year(c) and table.year(c) != table.year(column)
                   and abs(v) != abs(values[column]) and ("%" in table.rows[table.figures[row][0]][c]) == figure.percent]
        if columns:
            text = figure_of(table, row, rng.choice(columns), figure.scale).write(rng)
            put("column", "copied", text)


def emit_computed(maker, doc, split, table, question, figure, kind, operands, rng):
    shown = figure.write(rng)
    write = lambda text: (s := statement(question, text)) and s + " [1]."
    if not write(shown):
        return
    put = lambda of, text: maker.add(doc, split, of, kind, "question", question, write, text, "tatqa")
    put("right", shown)
    other = changed_digit(figure, rng)
    if abs(other.value - figure.value) >= 0.02 and not any(abs(v) == abs(other.value) for _, _, vs in table.figures for v in vs.values()):
        text = other.write(rng)
        put("digit", text)
    other = changed_scale(figure, rng)
    if other:
        text = other.write(rng)
        put("scale", text)
    if figure.value and not re.search(r"difference|decrease|decline|gap", question.lower()) and kind in ("growth", "difference"):
        text = figure.with_value(-figure.value).write(rng)
        put("sign", text)
    if figure.percent or figure.currency:
        text = changed_unit(figure, rng).write(rng)
        put("unit", text)
    value = wrong(kind, operands, table, rng)
    if value is not None:
        if kind == "ratio" and figure.percent:
            value *= 100
        digits = f"{abs(value):,.2f}".rstrip("0").rstrip(".")
        if digits.strip("0.,"):
            text = Figure(value, digits, figure.currency, figure.scale, figure.percent).write(rng)
            put("derivation", text)


def label_as_said(label, rng):
    label = re.sub(r"\s*\((?:Note|\d|[a-z]\)).*$", "", label).strip().rstrip(":")
    return label if rng.random() < 0.5 or label[:2].isupper() else label[0].lower() + label[1:]


def from_table(maker, doc, split, table, scale):
    """Sentences, lists and tables written from the table."""
    rng = maker.rng("t", doc)
    years = {c: table.year(c) for c in table.columns if table.year(c)}
    if len(years) < 2 or len(set(years.values())) != len(years):
        return
    rows = [r for r, (_, label, values) in enumerate(table.figures)
            if len(words_of(label)) >= 1 and sum(c in values for c in years) >= 2
            and sum(words_of(l) == words_of(label) for _, l, _ in table.figures) == 1]
    rng.shuffle(rows)
    for row in rows[:3]:
        _, label, values = table.figures[row]
        new, old = sorted([c for c in years if c in values], key=lambda c: years[c], reverse=True)[:2]
        a, b = (figure_of(table, row, c, scale) for c in (new, old))
        if a.percent != b.percent or not a.value or not b.value:
            continue
        said, y1, y2 = label_as_said(label, rng), years[new], years[old]
        cap = said[0].upper() + said[1:]
        other_rows = [r for r in rows if r != row and new in table.figures[r][2]]
        forms = {
            "plain": lambda t: f"In {y1}, {said} was {t} [1].",
            "compared": lambda t: f"{cap} was {t} in {y1}, compared with {b.write(rng)} in {y2} [1].",
            "pair": lambda t: f"{cap} was {b.write(rng)} in {y2} and {t} in {y1} [1].",
            "respectively": lambda t: f"{cap} was {t} and {b.write(rng)} in {y1} and {y2}, respectively [1].",
            "table": lambda t: f"| | {y2} | {y1} |\n|---|---|---|\n| {cap} [1] | {b.write(rng)} | {t} |",
        }
        if other_rows:
            second = rng.choice(other_rows)
            other_said = label_as_said(table.figures[second][1], rng)
            shown = figure_of(table, second, new, scale).write(rng)
            forms["list"] = lambda t: f"For {y1} [1]:\n- {other_said}: {shown}\n- {cap}: {t}"
            forms["two rows"] = lambda t: f"In {y1}, {other_said} was {shown} and {said} was {t} [1]."
        form = rng.choice(sorted(forms))
        emit_line(maker, doc, split, table, "", a, (row, new), rng, forms[form], form)
        computed(maker, doc, split, table, a, b, said, y1, y2, rng)


def computed(maker, doc, split, table, a, b, said, y1, y2, rng):
    """Growth and difference of two years in the words of a report."""
    if a.value <= 0 or b.value <= 0 or a.value == b.value or a.percent:
        return
    up = a.value > b.value
    verb, noun = ("increased", "an increase") if up else ("decreased", "a decrease")
    cap = said[0].upper() + said[1:]
    growth = abs(a.value - b.value) / b.value * 100
    if growth < 0.1 or growth > 900:
        return
    percent = Figure(growth, f"{growth:.1f}", percent=True)
    difference = Figure(abs(a.value - b.value), plain(a.value - b.value, a.digits), a.currency, a.scale)
    form = rng.choice(["by", "from to", "of"])
    if form == "by":
        of, figure = "growth", percent
        write = lambda t, v=verb: f"{cap} {v} by {t} from {y2} to {y1} [1]."
    elif form == "from to":
        of, figure = "growth", percent
        write = lambda t, v=verb: f"{cap} {v} from {b.write(rng)} in {y2} to {a.write(rng)} in {y1}, {'an increase' if v == 'increased' else 'a decrease'} of {t} [1]."
    else:
        of, figure = "difference", difference
        write = lambda t, v=verb: f"{cap} {v} by {t} in {y1} compared with {y2} [1]."
    put = lambda kind, text, v=verb: maker.add(
        doc, split, kind, of, form, "", lambda t: write(t, v), text, "tatqa")
    shown = figure.write(rng)
    put("right", shown)
    text = changed_digit(figure, rng)
    if abs(text.value - figure.value) > 0.06:
        put("digit", text.write(rng))
    put("sign", shown, "decreased" if up else "increased")
    if of == "growth":
        wrong_base = abs(a.value - b.value) / a.value * 100
        if abs(wrong_base - growth) > 0.2:
            text = f"{wrong_base:.1f}%"
            put("derivation", text)
    else:
        text = Figure(a.value + b.value, plain(a.value + b.value, a.digits), a.currency, a.scale).write(rng)
        put("derivation", text)


def finqa(maker, folder):
    """A second source that nothing is tuned on: FinQA's own questions and programs."""
    docs = {}
    for entry in load(os.path.join(folder, "corpus.jsonl")):
        docs.setdefault(entry["metadata"]["doc"], []).append((entry["metadata"]["kind"], entry["text"]))
    told = set()
    for n, query in enumerate(load(os.path.join(folder, "queries.jsonl"))):
        meta, rng = query["metadata"], maker.rng("f", n)
        doc = meta["doc"]
        tables = [t for k, t in docs.get(doc, []) if k == "table"]
        if len(tables) != 1:
            continue
        table = Table(tables[0])
        number = r"(-?[\d.]+)"
        program = meta["program"]
        if found := re.fullmatch(rf"subtract\({number}, {number}\), divide\(#0, {number}\)", program):
            a, b, c = map(float, found.groups())
            if b != c:
                continue
            kind, operands = "growth", [a, b]
        elif found := re.fullmatch(rf"subtract\({number}, {number}\)", program):
            kind, operands = "difference", [float(x) for x in found.groups()]
        elif found := re.fullmatch(rf"divide\({number}, {number}\)", program):
            kind, operands = "ratio", [float(x) for x in found.groups()]
        else:
            continue
        if not all(any(abs(o) == abs(v) for _, _, vs in table.figures for v in vs.values()) for o in operands):
            continue
        value = compute(kind, operands)
        percent = "%" in meta["answer"]
        if value is None or (percent and kind == "difference"):
            continue
        if kind == "ratio" and percent:
            value *= 100
        decimals = 1 if percent or kind == "ratio" else (2 if "." in meta["answer"] else 0)
        digits = f"{abs(value):,.{decimals}f}"
        if not digits.strip("0.,"):
            continue
        question = query["text"].replace(" ,", ",")
        if not statement(question[0].upper() + question[1:] + ("" if question.endswith("?") else "?"), "1"):
            continue
        asked = question[0].upper() + question[1:] + ("" if question.endswith("?") else "?")
        figure = Figure(value, digits, "", 0, percent)
        if doc not in told:
            told.add(doc)
            maker.lines.append({"document": doc, "html": page(docs[doc])})
        write = lambda text: statement(asked, text) + " [1]."
        put = lambda of, text: maker.add(doc, "other", of, kind, "question", asked, write, text, "finqa")
        put("right", figure.write(rng))
        other = changed_digit(figure, rng)
        if abs(other.value - figure.value) >= 0.02:
            put("digit", other.write(rng))
        value = wrong(kind, operands, table, rng)
        if value is not None:
            value = value * 100 if kind == "ratio" and percent else value
            digits = f"{abs(value):,.{decimals}f}"
            if digits.strip("0.,"):
                put("derivation", Figure(value, digits, "", 0, percent).write(rng))


def sample(maker, documents):
    """A few short documents of the tuning half, each with one answer of every sort it has."""
    told = {line["document"]: line for line in maker.lines if "document" in line}
    answers = {}
    for line in maker.lines:
        if line.get("split") == "tune":
            answers.setdefault(line["answer_of"], {}).setdefault((line["kind"], line["of"], line["form"]), line)
    short = [doc for doc in answers if len(told[doc]["html"]) < 2500 and len(answers[doc]) >= 20]
    lines = []
    for doc in sorted(short, key=lambda doc: hashlib.sha256(doc.encode()).hexdigest())[:documents]:
        lines += [told[doc], *answers[doc].values()]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", default=os.environ.get("QUAESTOR_SHARED", os.path.join(ROOT, "..", "shared")))
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--out", default="-")
    parser.add_argument("--sample", type=int, default=0, help="only so many documents of the tuning half, for the tests")
    arguments = parser.parse_args()
    folder = os.path.join(arguments.shared, "data", "retrieval")
    maker = Maker(arguments.seed)
    tatqa(maker, os.path.join(folder, "tatqa"))
    finqa(maker, os.path.join(folder, "finqa-mini"))
    out = sys.stdout if arguments.out == "-" else open(arguments.out, "w")
    lines = sample(maker, arguments.sample) if arguments.sample else maker.lines
    for line in lines:
        print(json.dumps(line, ensure_ascii=False), file=out)


main()
