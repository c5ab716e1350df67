"""Writes a small knowledge base through LightRAG's own storage classes, or reads it back, without any model.

    lightrag_client.py write|read redis|files <workspace> <working directory>

Reading prints one JSON object with everything that the classes give. REDIS_URI names the Redis server.
"""

import asyncio
import json
import os
import sys

import numpy as np
from lightrag.base import DocStatus
from lightrag.kg.shared_storage import initialize_share_data
from lightrag.utils import EmbeddingFunc

KV_NAMESPACES = [
    "full_docs",
    "text_chunks",
    "llm_response_cache",
    "full_entities",
    "full_relations",
    "entity_chunks",
    "relation_chunks",
]
DIMENSION = 8


async def embed(texts, **_):
    """Vectors that depend on the text alone."""
    return np.array([[((hash_of(text) >> bit) & 255) / 255.0 for bit in range(DIMENSION)] for text in texts], dtype=np.float32)


def hash_of(text):
    value = 14695981039346656037
    for byte in text.encode():
        value = ((value ^ byte) * 1099511628211) % 2**64
    return value


def records(workspace):
    return {
        namespace: {
            f"{namespace}-{number}": {
                "content": f"{workspace} {namespace} {number}: Überblick, 知識, 😀, \"quotes\" \\ and\nlines",
                "tokens": number,
                "weight": 1.0,
                "list": [1, 2.5, None, True],
            }
            for number in range(25)
        }
        for namespace in KV_NAMESPACES
    }


def doc_statuses():
    return {
        f"doc-{number}": {
            "status": DocStatus.PROCESSED if number % 2 else DocStatus.PENDING,
            "content_summary": f"summary {number}",
            "content_length": number,
            "chunks_count": 1,
            "chunks_list": [f"chunk-{number}"],
            "created_at": "2026-01-01T00:00:00+00:00",
            "updated_at": "2026-01-01T00:00:00+00:00",
            "file_path": f"file-{number}.txt",
            "track_id": "track-1",
            "metadata": {},
        }
        for number in range(10)
    }


def stores(kind, workspace, working_dir):
    config = {
        "working_dir": working_dir,
        "embedding_batch_num": 10,
        "vector_db_storage_cls_kwargs": {"cosine_better_than_threshold": -1.0},
    }
    embedding = EmbeddingFunc(embedding_dim=DIMENSION, max_token_size=100, func=embed)
    common = {"workspace": workspace, "global_config": config, "embedding_func": embedding}
    if kind == "redis":
        from lightrag.kg.redis_impl import RedisDocStatusStorage, RedisKVStorage

        kv = {name: RedisKVStorage(namespace=name, **common) for name in KV_NAMESPACES}
        return kv, RedisDocStatusStorage(namespace="doc_status", **common), None, None
    from lightrag.kg.json_doc_status_impl import JsonDocStatusStorage
    from lightrag.kg.json_kv_impl import JsonKVStorage
    from lightrag.kg.nano_vector_db_impl import NanoVectorDBStorage
    from lightrag.kg.networkx_impl import NetworkXStorage

    kv = {name: JsonKVStorage(namespace=name, **common) for name in KV_NAMESPACES}
    vectors = NanoVectorDBStorage(namespace="entities", meta_fields={"entity_name", "content"}, **common)
    graph = NetworkXStorage(namespace="chunk_entity_relation", **common)
    return kv, JsonDocStatusStorage(namespace="doc_status", **common), vectors, graph


async def main():
    action, kind, workspace, working_dir = sys.argv[1:5]
    os.makedirs(working_dir, exist_ok=True)
    initialize_share_data()
    kv, statuses, vectors, graph = stores(kind, workspace, working_dir)
    everything = [*kv.values(), statuses, *[store for store in (vectors, graph) if store]]
    for store in everything:
        await store.initialize()
    result = {}
    if action == "write":
        for namespace, store in kv.items():
            await store.upsert(records(workspace)[namespace])
        await statuses.upsert(doc_statuses())
        if vectors:
            await vectors.upsert({f"ent-{n}": {"entity_name": f"E{n}", "content": f"text {n}"} for n in range(20)})
        if graph:
            for n in range(20):
                await graph.upsert_node(f"E{n}", {"entity_id": f"E{n}", "description": f"Ä {n}", "source_id": "chunk-1"})
            for n in range(19):
                await graph.upsert_edge(f"E{n}", f"E{n + 1}", {"weight": 1.5, "description": "next"})
        for store in everything:
            await store.index_done_callback()
    else:
        for namespace, store in kv.items():
            ids = sorted(records(workspace)[namespace])
            result[namespace] = await store.get_by_ids(ids)
        result["statuses"] = [await statuses.get_by_id(id) for id in sorted(doc_statuses())]
        for status in (DocStatus.PROCESSED, DocStatus.PENDING):
            found = await statuses.get_docs_by_statuses([status])
            result[f"status {status.value}"] = sorted(found)
        if vectors:
            matches = await vectors.query("text 7", top_k=5)
            result["vectors"] = [(match["entity_name"], round(float(match["distance"]), 5)) for match in matches]
        if graph:
            result["nodes"] = [await graph.get_node(f"E{n}") for n in range(20)]
            result["edges"] = [await graph.get_edge(f"E{n}", f"E{n + 1}") for n in range(19)]
    for store in everything:
        await store.finalize()
    print(json.dumps(result, ensure_ascii=False, sort_keys=True, default=str))


asyncio.run(main())
