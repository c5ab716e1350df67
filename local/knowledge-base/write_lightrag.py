"""Writes a knowledge base with LightRAG's own storage classes, as its Helm chart configures them.

    write_lightrag.py RECORDS WORKSPACE

Key-value data, document status and vectors are written into PostgreSQL, the graph into Neo4j. RECORDS has the lines of JSON
that records.ts describes. The environment names the servers as LightRAG wants it: POSTGRES_HOST, NEO4J_URI and so on.
"""

import asyncio
import base64
import hashlib
import json
import sys
from collections import defaultdict

import numpy as np
from lightrag.base import DocStatus
from lightrag.kg.neo4j_impl import Neo4JStorage
from lightrag.kg.postgres_impl import PGDocStatusStorage, PGKVStorage, PGVectorStorage
from lightrag.kg.shared_storage import initialize_share_data
from lightrag.utils import EmbeddingFunc

BATCH = 500
DIMENSIONS = 384
SEPARATOR = "<SEP>"
FILE = "README.md"
TIME = 1767225600
NAMESPACES = [
    "full_docs",
    "text_chunks",
    "llm_response_cache",
    "full_entities",
    "full_relations",
    "entity_chunks",
    "relation_chunks",
]
FIELDS = {
    "entities": {"entity_name", "source_id", "content", "file_path"},
    "relationships": {"src_id", "tgt_id", "source_id", "content", "file_path"},
    "chunks": {"full_doc_id", "content", "file_path"},
}
vectors = {}


async def embed(texts, **_):
    """The vectors of the records, in place of a model's."""
    return np.array([np.frombuffer(base64.b64decode(vectors[text]), dtype=np.float32) for text in texts])


def hashed(prefix, text):
    return prefix + hashlib.md5(text.encode()).hexdigest()


def batches(path):
    """Records of one kind at a time, in the order of the file."""
    kind, batch = None, []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["kind"] != kind or len(batch) == BATCH:
                if batch:
                    yield kind, batch
                kind, batch = record["kind"], []
            batch.append(record)
    if batch:
        yield kind, batch


class Writer:
    def __init__(self, workspace):
        config = {
            "working_dir": ".",
            "embedding_batch_num": BATCH,
            "max_graph_nodes": 1000,
            "vector_db_storage_cls_kwargs": {"cosine_better_than_threshold": 0.2},
            "vector_storage": "PGVectorStorage",
        }
        embedding = EmbeddingFunc(embedding_dim=DIMENSIONS, max_token_size=8192, func=embed, model_name="ngrams")
        common = {"workspace": workspace, "global_config": config, "embedding_func": embedding}
        self.kv = {name: PGKVStorage(namespace=name, **common) for name in NAMESPACES}
        self.statuses = PGDocStatusStorage(namespace="doc_status", **common)
        self.vectors = {name: PGVectorStorage(namespace=name, meta_fields=fields, **common) for name, fields in FIELDS.items()}
        self.graph = Neo4JStorage(namespace="chunk_entity_relation", **common)
        self.all = [*self.kv.values(), self.statuses, *self.vectors.values(), self.graph]
        self.document_of = {}
        self.contents = {}
        self.chunks_of = defaultdict(list)
        self.entities_of = defaultdict(set)
        self.pairs_of = defaultdict(set)

    async def upsert_vectors(self, name, rows, records):
        vectors.clear()
        vectors.update({row["content"]: record["vector"] for row, record in zip(rows.values(), records)})
        await self.vectors[name].upsert(rows)
        # Newer versions of LightRAG embed and write when the pipeline ends its step.
        await self.vectors[name].index_done_callback()

    async def document(self, records):
        await self.kv["full_docs"].upsert({r["id"]: {"content": r["content"], "file_path": FILE} for r in records})
        self.contents.update({r["id"]: r["content"] for r in records})

    async def chunk(self, records):
        rows = {}
        for r in records:
            self.document_of[r["id"]] = r["document"]
            self.chunks_of[r["document"]].append(r["id"])
            rows[r["id"]] = {
                "content": r["content"],
                "full_doc_id": r["document"],
                "tokens": r["tokens"],
                "chunk_order_index": r["order"],
                "file_path": FILE,
            }
        cache = {f"default:extract:{hashed('', r['id'])}": r for r in records}
        await self.kv["text_chunks"].upsert(
            {id: {**row, "llm_cache_list": [key]} for (id, row), key in zip(rows.items(), cache)}
        )
        await self.kv["llm_response_cache"].upsert(
            {
                key: {
                    "return": f"{r['tokens']} tokens<|COMPLETE|>",
                    "cache_type": "extract",
                    "chunk_id": r["id"],
                    "original_prompt": r["content"][:500],
                    "queryparam": None,
                }
                for key, r in cache.items()
            }
        )
        await self.upsert_vectors("chunks", rows, records)

    async def entity(self, records):
        rows, nodes = {}, []
        for r in records:
            name, source = r["name"], SEPARATOR.join(r["sources"])
            for chunk in r["sources"]:
                self.entities_of[self.document_of[chunk]].add(name)
            content = f"{name}\n{r['description']}"
            rows[hashed("ent-", name)] = {"entity_name": name, "content": content, "source_id": source, "file_path": FILE}
            about = {"entity_type": r["type"], "description": r["description"], "source_id": source}
            nodes.append((name, {"entity_id": name, **about, "file_path": FILE, "created_at": TIME}))
        await self.graph.upsert_nodes_batch(nodes)
        await self.kv["entity_chunks"].upsert(
            {r["name"]: {"chunk_ids": r["sources"], "count": len(r["sources"])} for r in records}
        )
        await self.upsert_vectors("entities", rows, records)

    async def relationship(self, records):
        rows, edges, chunks = {}, [], {}
        for r in records:
            ends, source = [r["from"], r["to"]], SEPARATOR.join(r["sources"])
            for chunk in r["sources"]:
                self.pairs_of[self.document_of[chunk]].add(tuple(ends))
            content = f"{r['type']}\t{ends[0]}\n{ends[1]}\n{r['description']}"
            rows[hashed("rel-", "".join(ends))] = {
                "src_id": ends[0],
                "tgt_id": ends[1],
                "content": content,
                "source_id": source,
                "file_path": FILE,
            }
            about = {"weight": r["weight"], "description": r["description"], "keywords": r["type"]}
            edges.append((*ends, {**about, "source_id": source, "file_path": FILE, "created_at": TIME}))
            chunks[SEPARATOR.join(sorted(ends))] = {"chunk_ids": r["sources"], "count": len(r["sources"])}
        await self.graph.upsert_edges_batch(edges)
        await self.kv["relation_chunks"].upsert(chunks)
        await self.upsert_vectors("relationships", rows, records)

    async def community(self, records):
        """LightRAG has no communities."""

    async def finish(self):
        """What is known only after everything was read: document status, and what each document mentions."""
        for start in range(0, len(self.contents), BATCH):
            ids = list(self.contents)[start : start + BATCH]
            await self.statuses.upsert(
                {
                    id: {
                        "status": DocStatus.PROCESSED,
                        "content_summary": self.contents[id][:200],
                        "content_length": len(self.contents[id]),
                        "chunks_count": len(self.chunks_of[id]),
                        "chunks_list": self.chunks_of[id],
                        "created_at": "2026-01-01T00:00:00+00:00",
                        "updated_at": "2026-01-01T00:00:00+00:00",
                        "file_path": f"{id}.md",
                        "track_id": "demo",
                        "metadata": {},
                    }
                    for id in ids
                }
            )
            names = {id: sorted(self.entities_of[id]) for id in ids}
            pairs = {id: [list(pair) for pair in sorted(self.pairs_of[id])] for id in ids}
            await self.kv["full_entities"].upsert({id: {"entity_names": n, "count": len(n)} for id, n in names.items()})
            await self.kv["full_relations"].upsert({id: {"relation_pairs": p, "count": len(p)} for id, p in pairs.items()})


async def main():
    path, workspace = sys.argv[1:]
    initialize_share_data()
    writer = Writer(workspace)
    for store in writer.all:
        await store.initialize()
    for kind, records in batches(path):
        await getattr(writer, kind)(records)
    await writer.finish()
    for store in writer.all:
        await store.index_done_callback()
    for store in writer.all:
        await store.finalize()


asyncio.run(main())
