"""Writes a small knowledge base through LightRAG's own storage classes, or reads it back, without any model.

    lightrag_client.py write|read redis|files|servers|servers-files|postgres|postgres-neo4j <workspace> <working directory>

`servers` are Redis, Neo4j and Qdrant together; `servers-files` has the status of documents in a JSON file instead of Redis;
`postgres` has everything in tables, the graph included; `postgres-neo4j` has the graph in Neo4j and all others in tables.
Reading prints one JSON object with everything that the classes give. The environment names the servers as LightRAG wants it:
REDIS_URI, NEO4J_URI, QDRANT_URL, POSTGRES_HOST and so on.
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
VECTOR_FIELDS = {
    "entities": {"entity_name", "source_id", "content", "file_path"},
    "relationships": {"src_id", "tgt_id", "source_id", "content", "file_path"},
    "chunks": {"full_doc_id", "content", "file_path"},
}
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
                "full_doc_id": f"full_docs-{number}",
                "weight": 1.0,
                "list": [1, 2.5, None, True],
                # What the tables of PostgreSQL have columns for; Redis and files keep any field.
                "chunk_order_index": number,
                "file_path": f"file-{number}.txt",
                "original_prompt": "知識?",
                "return": f"{workspace} answer {number}",
                "entity_names": [f"E{number}"],
                "relation_pairs": [[f"E{number}", f"E{number + 1}"]],
                "chunk_ids": [f"text_chunks-{number}"],
                "count": 1,
            }
            for number in range(25)
        }
        for namespace in KV_NAMESPACES
    }


def name_of(match):
    """A match with its distance, as far as a storage class gives them."""
    name = match.get("id") or match.get("entity_name") or (match.get("src_id"), match.get("tgt_id"))
    distance = match.get("distance")
    return (name, distance if distance is None else round(float(distance), 5))


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


def vector_records(workspace):
    """By namespace of vectors, as LightRAG's pipeline would hand them to the storage."""
    entities, relationships, chunks = {}, {}, {}
    for n in range(20):
        about = {"content": f"{workspace} text {n}: Überblick, 知識, 😀", "file_path": f"file-{n}.txt"}
        chunks[f"text_chunks-{n}"] = {"full_doc_id": f"full_docs-{n}", "tokens": n, "chunk_order_index": n, **about}
        entities[f"ent-{n}"] = {"entity_name": f"E{n}", "source_id": f"text_chunks-{n}", **about}
        relationships[f"rel-{n}"] = {"src_id": f"E{n}", "tgt_id": f"E{(n + 1) % 20}", "source_id": f"text_chunks-{n}", **about}
    return {"entities": entities, "relationships": relationships, "chunks": chunks}


def stores(kind, workspace, working_dir):
    """Key-value stores by namespace, status store, vector stores by namespace, graph; what a kind has none of is empty."""
    config = {
        "working_dir": working_dir,
        "embedding_batch_num": 10,
        "max_graph_nodes": 1000,
        "vector_db_storage_cls_kwargs": {"cosine_better_than_threshold": -1.0},
    }
    # Releases before 1.4.9.9 do not know the name of the model.
    named = {"model_name": "stub"} if "model_name" in EmbeddingFunc.__dataclass_fields__ else {}
    embedding = EmbeddingFunc(embedding_dim=DIMENSION, max_token_size=100, func=embed, **named)
    common = {"workspace": workspace, "global_config": config, "embedding_func": embedding}
    vectors, graph = {}, None
    if kind == "files":
        from lightrag.kg.json_doc_status_impl import JsonDocStatusStorage as DocStatusStorage
        from lightrag.kg.json_kv_impl import JsonKVStorage as KVStorage
        from lightrag.kg.nano_vector_db_impl import NanoVectorDBStorage as VectorStorage
        from lightrag.kg.networkx_impl import NetworkXStorage as GraphStorage
    elif kind.startswith("postgres"):
        if kind == "postgres":
            from lightrag.kg.pgtable_impl import PGTableGraphStorage as GraphStorage
        else:
            from lightrag.kg.neo4j_impl import Neo4JStorage as GraphStorage
        from lightrag.kg.postgres_impl import (
            PGDocStatusStorage as DocStatusStorage,
            PGKVStorage as KVStorage,
            PGVectorStorage as VectorStorage,
        )

        config["vector_storage"] = "PGVectorStorage"
    else:
        from lightrag.kg.redis_impl import RedisDocStatusStorage as DocStatusStorage, RedisKVStorage as KVStorage
    if kind == "servers-files":
        from lightrag.kg.json_doc_status_impl import JsonDocStatusStorage as DocStatusStorage
    if kind.startswith("servers"):
        from lightrag.kg.neo4j_impl import Neo4JStorage as GraphStorage
        from lightrag.kg.qdrant_impl import QdrantVectorDBStorage as VectorStorage
    if kind != "redis":
        vectors = {
            name: VectorStorage(namespace=name, meta_fields=fields, **common) for name, fields in VECTOR_FIELDS.items()
        }
        graph = GraphStorage(namespace="chunk_entity_relation", **common)
    kv = {name: KVStorage(namespace=name, **common) for name in KV_NAMESPACES}
    return kv, DocStatusStorage(namespace="doc_status", **common), vectors, graph


async def main():
    action, kind, workspace, working_dir = sys.argv[1:5]
    os.makedirs(working_dir, exist_ok=True)
    initialize_share_data()
    kv, statuses, vectors, graph = stores(kind, workspace, working_dir)
    everything = [*kv.values(), statuses, *vectors.values(), *([graph] if graph else [])]
    for store in everything:
        await store.initialize()
    result = {}
    if action == "write":
        for namespace, store in kv.items():
            await store.upsert(records(workspace)[namespace])
        await statuses.upsert(doc_statuses())
        for namespace, store in vectors.items():
            await store.upsert(vector_records(workspace)[namespace])
        if graph:
            for n in range(20):
                node = {"entity_id": f"E{n}", "entity_type": "concept", "description": f"Ä {n}", "source_id": f"text_chunks-{n}"}
                await graph.upsert_node(f"E{n}", node)
            for n in range(19):
                edge = {"weight": 1.5, "description": "next", "keywords": "k", "source_id": f"text_chunks-{n}"}
                await graph.upsert_edge(f"E{n}", f"E{n + 1}", edge)
        for store in everything:
            await store.index_done_callback()
    else:
        for namespace, store in kv.items():
            ids = sorted(records(workspace)[namespace])
            result[namespace] = await store.get_by_ids(ids)
        result["statuses"] = [await statuses.get_by_id(id) for id in sorted(doc_statuses())]
        for status in (DocStatus.PROCESSED, DocStatus.PENDING):
            # Releases before 1.5 have only the other method.
            is_older = not hasattr(statuses, "get_docs_by_statuses")
            found = await (statuses.get_docs_by_status(status) if is_older else statuses.get_docs_by_statuses([status]))
            result[f"status {status.value}"] = sorted(found)
        for namespace, store in vectors.items():
            ids = sorted(vector_records(workspace)[namespace])
            matches = await store.query("text 7", top_k=5)
            result[f"{namespace} nearest"] = [name_of(match) for match in matches]
            result[namespace] = await store.get_by_ids(ids)
            kept = await store.get_vectors_by_ids(ids)
            result[f"{namespace} vectors"] = {id: [round(float(x), 6) for x in kept[id]] for id in sorted(kept)}
        if graph:
            result["nodes"] = [await graph.get_node(f"E{n}") for n in range(20)]
            result["edges"] = [await graph.get_edge(f"E{n}", f"E{n + 1}") for n in range(19)]
            result["labels"] = await graph.get_all_labels()
            result["degrees"] = [await graph.node_degree(f"E{n}") for n in range(20)]
    for store in everything:
        await store.finalize()
    print(json.dumps(result, ensure_ascii=False, sort_keys=True, default=str))


asyncio.run(main())
