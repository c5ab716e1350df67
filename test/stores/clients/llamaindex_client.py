"""Writes a small knowledge graph through LlamaIndex's own Neo4j stores, or reads it back, without any model.

    llamaindex_client.py write|read

Reading prints one JSON object with everything that the stores give. The environment names the server: NEO4J_URI,
NEO4J_USERNAME, NEO4J_PASSWORD. It needs the procedures of APOC.
"""

import json
import os
import sys

from llama_index.core.graph_stores.types import ChunkNode, EntityNode, Relation
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.graph_stores.neo4j import Neo4jPropertyGraphStore
from llama_index.vector_stores.neo4jvector import Neo4jVectorStore

DIMENSION = 8


def embed(text):
    """A vector that depends on the text alone."""
    value = 14695981039346656037
    for byte in text.encode():
        value = ((value ^ byte) * 1099511628211) % 2**64
    return [((value >> bit) & 255) / 255.0 for bit in range(DIMENSION)]


def server():
    return {
        "url": os.environ["NEO4J_URI"],
        "username": os.environ["NEO4J_USERNAME"],
        "password": os.environ["NEO4J_PASSWORD"],
    }


def open_vectors():
    return Neo4jVectorStore(
        embedding_dimension=DIMENSION, hybrid_search=True, node_label="TextChunk", index_name="texts", **server()
    )


def write(graph):
    chunks = [
        ChunkNode(id_=f"chunk-{n}", text=f"chunk {n}: Überblick, 知識, 😀", embedding=embed(f"chunk {n}")) for n in range(4)
    ]
    entities = [
        EntityNode(
            name=f"Entity {n}",
            label="PERSON" if n % 2 else "PLACE",
            properties={"triplet_source_id": f"chunk-{n}", "rank": n, "weight": n / 2},
            embedding=embed(f"Entity {n}"),
        )
        for n in range(4)
    ]
    graph.upsert_nodes([*chunks, *entities])
    graph.upsert_relations(
        [
            Relation(
                label="KNOWS",
                source_id=f"Entity {n}",
                target_id=f"Entity {n + 1}",
                properties={"triplet_source_id": f"chunk-{n}", "since": n},
            )
            for n in range(3)
        ]
    )
    nodes = [
        TextNode(id_=f"text-{n}", text=f"text {n}", metadata={"page": n}, embedding=embed(f"text {n}")) for n in range(4)
    ]
    open_vectors().add(nodes)


def read(graph):
    graph.structured_query("CALL db.awaitIndexes(60)")
    nodes = graph.get()
    triplets = graph.get_triplets(entity_names=[f"Entity {n}" for n in range(4)])
    nearest, scores = graph.vector_query(VectorStoreQuery(query_embedding=embed("Entity 2"), similarity_top_k=4))
    query = VectorStoreQuery(query_embedding=embed("text 2"), query_str="text", similarity_top_k=4)
    texts = open_vectors().query(query)
    return {
        "nodes": sorted((type(node).__name__, node.id, str(sorted(node.dict().items(), key=str))) for node in nodes),
        "triplets": sorted(
            (start.id, relation.label, str(sorted(relation.properties.items(), key=str)), end.id)
            for start, relation, end in triplets
        ),
        "nearest": sorted((node.id, round(score, 5)) for node, score in zip(nearest, scores)),
        "texts": sorted(
            (id, node.text, node.metadata, round(score, 5))
            for id, node, score in zip(texts.ids, texts.nodes, texts.similarities)
        ),
        "mentions": graph.structured_query(
            "MATCH (c:Chunk)-[:MENTIONS]->(e:__Entity__) RETURN c.id AS chunk, e.id AS entity ORDER BY chunk, entity"
        ),
    }


def main():
    graph = Neo4jPropertyGraphStore(refresh_schema=False, **server())
    result = write(graph) if sys.argv[1] == "write" else read(graph)
    print(json.dumps(result, ensure_ascii=False, sort_keys=True, default=str))


main()
