"""Writes a small knowledge graph through neo4j-graphrag's own components, or reads it back, without any model.

    neo4j_graphrag_client.py write|read

Reading prints one JSON object with everything that the retrievers give, and the graph as neo4j-graphrag describes it. The
environment names the server: NEO4J_URI, NEO4J_USERNAME, NEO4J_PASSWORD.
"""

import asyncio
import json
import os
import sys

import neo4j
from neo4j_graphrag.components.kg_writer import Neo4jWriter
from neo4j_graphrag.components.lexical_graph import LexicalGraphBuilder
from neo4j_graphrag.components.types import (
    DocumentInfo,
    Neo4jGraph,
    Neo4jNode,
    Neo4jRelationship,
    TextChunk,
    TextChunks,
)
from neo4j_graphrag.embeddings.base import Embedder
from neo4j_graphrag.indexes import create_fulltext_index, create_vector_index
from neo4j_graphrag.retrievers import HybridRetriever, VectorCypherRetriever, VectorRetriever

DIMENSION = 8
ENTITIES = ["Ada", "Überblick", "知識"]


class StubEmbedder(Embedder):
    """Vectors that depend on the text alone."""

    def embed_query(self, text, **_):
        value = 14695981039346656037
        for byte in text.encode():
            value = ((value ^ byte) * 1099511628211) % 2**64
        return [((value >> bit) & 255) / 255.0 for bit in range(DIMENSION)]


async def write(driver):
    embed = StubEmbedder().embed_query
    texts = [f"chunk {n} about {ENTITIES[n % 3]}, 😀" for n in range(6)]
    chunks = [
        TextChunk(uid=f"chunk-{n}", text=text, index=n, metadata={"embedding": embed(text)}) for n, text in enumerate(texts)
    ]
    info = DocumentInfo(uid="doc-1", path="/tmp/a document.pdf", metadata={"title": "A title"})
    lexical = await LexicalGraphBuilder().run(text_chunks=TextChunks(chunks=chunks), document_info=info)
    entities = [
        Neo4jNode(
            id=f"entity-{n}",
            label="Person" if n else "Place",
            properties={"name": name, "rank": n, "weight": n / 2},
            embedding_properties={"embedding": embed(name)},
        )
        for n, name in enumerate(ENTITIES)
    ]
    facts = [
        Neo4jRelationship(start_node_id="entity-0", end_node_id="entity-1", type="KNOWS", properties={"since": 1843}),
        Neo4jRelationship(start_node_id="entity-1", end_node_id="entity-2", type="KNOWS", properties={"since": 1999}),
    ]
    mentions = [
        Neo4jRelationship(start_node_id=f"entity-{n % 3}", end_node_id=f"chunk-{n}", type="FROM_CHUNK") for n in range(6)
    ]
    graph = Neo4jGraph(
        nodes=[*lexical.graph.nodes, *entities],
        relationships=[*lexical.graph.relationships, *facts, *mentions],
    )
    written = await Neo4jWriter(driver).run(graph)
    assert written.status == "SUCCESS", written
    create_vector_index(driver, "chunks", "Chunk", "embedding", DIMENSION, "cosine")
    create_fulltext_index(driver, "texts", "Chunk", ["text"])
    create_vector_index(driver, "entities", "__Entity__", "embedding", DIMENSION, "euclidean")


def read(driver):
    driver.execute_query("CALL db.awaitIndexes(60)")
    embedder = StubEmbedder()
    around = "MATCH (node)-[:FROM_DOCUMENT]->(d) OPTIONAL MATCH (e)-[:FROM_CHUNK]->(node) RETURN node.text, d.path, e.name"
    retrievers = {
        "chunks": VectorRetriever(driver, "chunks", embedder, ["text", "index"]),
        "hybrid": HybridRetriever(driver, "chunks", "texts", embedder, ["text", "index"]),
        "entities": VectorRetriever(driver, "entities", embedder, ["name", "rank", "weight"]),
        "around": VectorCypherRetriever(driver, "chunks", around, embedder),
    }
    return {
        name: sorted(item.content for item in retriever.search(query_text="chunk 4 about Ada", top_k=6).items)
        for name, retriever in retrievers.items()
    }


def main():
    auth = (os.environ["NEO4J_USERNAME"], os.environ["NEO4J_PASSWORD"])
    with neo4j.GraphDatabase.driver(os.environ["NEO4J_URI"], auth=auth) as driver:
        result = asyncio.run(write(driver)) if sys.argv[1] == "write" else read(driver)
    print(json.dumps(result, ensure_ascii=False, sort_keys=True, default=str))


main()
