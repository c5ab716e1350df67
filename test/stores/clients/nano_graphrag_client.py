"""Writes a small knowledge base through nano-graphrag's own storage classes, or reads it back, without any model.

    nano_graphrag_client.py write|read files|neo4j <working directory>

`files` keeps the graph in GraphML, `neo4j` in the server that NEO4J_URI, NEO4J_USERNAME and NEO4J_PASSWORD name; all else is
in files. Reading prints one JSON object with everything that the classes give.
"""

import asyncio
import importlib.util
import json
import os
import sys
import types

import numpy as np

# The packages' own __init__ imports clients of language models, which nothing here needs.
root = importlib.util.find_spec("nano_graphrag").submodule_search_locations[0]
for name, path in (("nano_graphrag", root), ("nano_graphrag._storage", os.path.join(root, "_storage"))):
    package = types.ModuleType(name)
    package.__path__ = [path]
    sys.modules[name] = package

from nano_graphrag._storage.gdb_neo4j import Neo4jStorage  # noqa: E402
from nano_graphrag._storage.gdb_networkx import NetworkXStorage  # noqa: E402
from nano_graphrag._storage.kv_json import JsonKVStorage  # noqa: E402
from nano_graphrag._storage.vdb_hnswlib import HNSWVectorStorage  # noqa: E402
from nano_graphrag._storage.vdb_nanovectordb import NanoVectorDBStorage  # noqa: E402
from nano_graphrag._utils import EmbeddingFunc  # noqa: E402

DIMENSION = 8
COUNT = 20


async def embed(texts):
    """Vectors that depend on the text alone."""
    return np.array([[(sum(text.encode()) * (d + 3) % 101) / 101 + 0.01 for d in range(DIMENSION)] for text in texts])


def records():
    """By namespace of keys."""
    numbers = range(COUNT)
    return {
        "full_docs": {f"doc-{n}": {"content": f'Überblick {n}, 知識, 😀, "quotes" \\ and\nlines'} for n in numbers},
        "text_chunks": {
            f"chunk-{n}": {"tokens": n, "content": f"part {n}", "chunk_order_index": 0, "full_doc_id": f"doc-{n}"} for n in numbers
        },
        "community_reports": {
            str(n): {"report_string": "# Ä", "report_json": {"rating": 1.0, "findings": []}, "level": n, "nodes": [f'"E{n}"']}
            for n in numbers
        },
        "llm_response_cache": {f"{n:032x}": {"return": f"answer {n}", "model": "stub"} for n in numbers},
    }


def stores(kind, working_dir):
    auth = (os.environ.get("NEO4J_USERNAME", ""), os.environ.get("NEO4J_PASSWORD", ""))
    config = {
        "working_dir": working_dir,
        "embedding_batch_num": 10,
        "query_better_than_threshold": -1.0,
        "vector_db_storage_cls_kwargs": {"max_elements": 1000, "num_threads": 1},
        "addon_params": {"neo4j_url": os.environ.get("NEO4J_URI"), "neo4j_auth": auth},
    }
    common = {"global_config": config}
    embedded = {**common, "embedding_func": EmbeddingFunc(embedding_dim=DIMENSION, max_token_size=100, func=embed)}
    kv = {namespace: JsonKVStorage(namespace=namespace, **common) for namespace in records()}
    vectors = {
        "entities": NanoVectorDBStorage(namespace="entities", meta_fields={"entity_name"}, **embedded),
        "chunks": HNSWVectorStorage(namespace="chunks", meta_fields={"content"}, **embedded),
    }
    graph = Neo4jStorage if kind == "neo4j" else NetworkXStorage
    return kv, vectors, graph(namespace="chunk_entity_relation", **common)


async def write(kv, vectors, graph):
    for namespace, store in kv.items():
        await store.upsert(records()[namespace])
    await vectors["entities"].upsert({f"ent-{n}": {"content": f"text {n}", "entity_name": f'"E{n}"'} for n in range(COUNT)})
    await vectors["chunks"].upsert({f"chunk-{n}": {"content": f"part {n}"} for n in range(COUNT)})
    for n in range(COUNT):
        node = {"entity_type": '"PERSON"' if n % 2 else '"EVENT"', "description": f"Ä {n}", "source_id": f"chunk-{n}<SEP>chunk-0"}
        await graph.upsert_node(f'"E{n}"', node)
    for n in range(COUNT - 1):
        edge = {"weight": n + 0.5, "description": "next", "source_id": f"chunk-{n}", "order": 1}
        await graph.upsert_edge(f'"E{n}"', f'"E{n + 1}"', edge)
    for store in [*kv.values(), *vectors.values(), graph]:
        await store.index_done_callback()


async def read(kv, vectors, graph):
    result = {}
    for namespace, store in kv.items():
        result[namespace] = await store.get_by_ids(sorted(records()[namespace]))
        result[f"{namespace} keys"] = await store.all_keys()
    for namespace, store in vectors.items():
        found = await store.query("text 7", top_k=5)
        result[f"{namespace} nearest"] = [(match["id"], round(float(match["distance"]), 5)) for match in found]
    result["nodes"] = [await graph.get_node(f'"E{n}"') for n in range(COUNT)]
    result["degrees"] = [await graph.node_degree(f'"E{n}"') for n in range(COUNT)]
    result["edges"] = [await graph.get_edge(f'"E{n}"', f'"E{n + 1}"') for n in range(COUNT - 1)]
    return result


async def main():
    action, kind, working_dir = sys.argv[1:4]
    os.makedirs(working_dir, exist_ok=True)
    opened = stores(kind, working_dir)
    result = await (write if action == "write" else read)(*opened)
    print(json.dumps(result, ensure_ascii=False, sort_keys=True, default=str))


asyncio.run(main())
