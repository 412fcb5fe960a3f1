#!/usr/bin/env python3
"""Makes golden.json: scores of pairs by the reference implementation of BERT.

The reference is FlaxBertForSequenceClassification of Hugging Face's transformers:

    python3 -m venv /tmp/reference
    /tmp/reference/bin/pip install transformers==4.46.3 jax==0.4.35 jaxlib==0.4.35 flax==0.10.1
    /tmp/reference/bin/python make_golden.py

The model is a small one whose weights follow from their names by `number`, which the test
computes as well, so no weights are stored here.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from transformers import BertConfig, BertTokenizerFast, FlaxBertForSequenceClassification

HERE = pathlib.Path(__file__).parent
# Even without the three marks: which text loses the odd piece is not agreed upon.
LONGEST = 41

WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] what was were is the of in and net sales total
revenue apple intel 2022 2023 three months ended june fund class share shares value asset
per ##s ##ed ##ing fee fees management how much did rise rose by 12 5 % $ . , ? million
billion quarter fiscal year cost costs income operating tax rate""".split()

PAIRS = [
    ("what was total net sales", "total net sales were $ 12 million in 2022 ."),
    ("what was total net sales", "the management fee is 5 % per year"),
    ("what was total net sales", " "),
    ("", "the net asset value per share"),
    ("how much did operating income rise?", "operating income rose by 12 % in fiscal 2023, "
     "and costs rose by 5 %"),
    ("Operating Income of Intel", "an unknown wörd, Apple and INTEL"),
    ("net asset value per share of class", "net asset value per share " * 20),
    ("what was the rate " * 20, "tax rate " * 20),
]


def number(name, count):
    """The weights of a name: a hash of name and place, spread over -0.5 to 0.5."""
    hashed = 0x811C9DC5
    for byte in name.encode():
        hashed = ((hashed ^ byte) * 0x01000193) & 0xFFFFFFFF
    place = np.arange(count, dtype=np.uint64)
    x = (np.uint64(hashed) ^ (place * np.uint64(0x9E3779B1))) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(13)
    return (x.astype(np.float64) / 2.0**32 - 0.5).astype(np.float32)


def weight(name, *shape):
    values = number(name, int(np.prod(shape))).reshape(shape)
    return values * np.float32(0.2) + np.float32(1) if "LayerNorm.weight" in name else values


def dense(name, inputs, outputs):
    return {
        "kernel": weight(f"{name}.weight", outputs, inputs).T,
        "bias": weight(f"{name}.bias", outputs),
    }


def norm(name, hidden):
    return {"scale": weight(f"{name}.weight", hidden), "bias": weight(f"{name}.bias", hidden)}


def parameters(config):
    hidden, inner = config.hidden_size, config.intermediate_size
    layers = {}
    for index in range(config.num_hidden_layers):
        at = f"bert.encoder.layer.{index}"
        layers[str(index)] = {
            "attention": {
                "self": {
                    part: dense(f"{at}.attention.self.{part}", hidden, hidden)
                    for part in ("query", "key", "value")
                },
                "output": {
                    "dense": dense(f"{at}.attention.output.dense", hidden, hidden),
                    "LayerNorm": norm(f"{at}.attention.output.LayerNorm", hidden),
                },
            },
            "intermediate": {"dense": dense(f"{at}.intermediate.dense", hidden, inner)},
            "output": {
                "dense": dense(f"{at}.output.dense", inner, hidden),
                "LayerNorm": norm(f"{at}.output.LayerNorm", hidden),
            },
        }
    at = "bert.embeddings"
    embeddings = {
        f"{kind}_embeddings": {"embedding": weight(f"{at}.{kind}_embeddings.weight", size, hidden)}
        for kind, size in (
            ("word", config.vocab_size),
            ("position", config.max_position_embeddings),
            ("token_type", config.type_vocab_size),
        )
    }
    embeddings["LayerNorm"] = norm(f"{at}.LayerNorm", hidden)
    return {
        "bert": {
            "embeddings": embeddings,
            "encoder": {"layer": layers},
            "pooler": {"dense": dense("bert.pooler.dense", hidden, hidden)},
        },
        "classifier": dense("classifier", hidden, config.num_labels),
    }


def main():
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        type_vocab_size=2,
        num_labels=1,
        layer_norm_eps=1e-12,
    )
    (HERE / "config.json").write_text(config.to_json_string())
    vocabulary = HERE / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    tokenizer = BertTokenizerFast(vocab_file=str(vocabulary))
    vocabulary.unlink()
    tokenizer.backend_tokenizer.save(str(HERE / "tokenizer.json"))
    model = FlaxBertForSequenceClassification(config, _do_init=False)
    golden = []
    with jax.default_matmul_precision("highest"):
        for query, passage in PAIRS:
            read = tokenizer(query, passage, truncation=True, max_length=LONGEST)
            ids, kinds = read["input_ids"], read["token_type_ids"]
            logits = model(
                jnp.array([ids]),
                token_type_ids=jnp.array([kinds]),
                params=jax.tree_util.tree_map(jnp.asarray, parameters(config)),
            ).logits
            golden.append({
                "query": query,
                "passage": passage,
                "pieces": len(ids),
                "score": round(float(logits[0, 0]), 6),
            })
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
