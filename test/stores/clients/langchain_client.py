"""Writes a small knowledge graph through langchain-neo4j's own classes, or reads it back, without any model.

    langchain_client.py write|read

Reading prints one JSON object with everything that the classes give. The environment names the server: NEO4J_URI,
NEO4J_USERNAME, NEO4J_PASSWORD. It needs the procedures of APOC.
"""

import json
import os
import sys

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, HumanMessage
from langchain_neo4j import Neo4jChatMessageHistory, Neo4jGraph, Neo4jVector
from langchain_neo4j.graphs.graph_document import GraphDocument, Node, Relationship

DIMENSION = 8


class StubEmbeddings(Embeddings):
    """Vectors that depend on the text alone."""

    def embed_query(self, text):
        value = 14695981039346656037
        for byte in text.encode():
            value = ((value ^ byte) * 1099511628211) % 2**64
        return [((value >> bit) & 255) / 255.0 for bit in range(DIMENSION)]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


def server():
    return {
        "url": os.environ["NEO4J_URI"],
        "username": os.environ["NEO4J_USERNAME"],
        "password": os.environ["NEO4J_PASSWORD"],
    }


def documents():
    return [
        Document(page_content=f"text {n}: Überblick, 知識, 😀", metadata={"id": f"doc-{n}", "page": n}) for n in range(5)
    ]


def write():
    graph = Neo4jGraph(**server())
    people = [Node(id=f"person {n}", type="Person", properties={"rank": n, "weight": n / 2}) for n in range(5)]
    graph.add_graph_documents(
        [
            GraphDocument(
                nodes=[people[n], people[(n + 1) % 5]],
                relationships=[
                    Relationship(source=people[n], target=people[(n + 1) % 5], type="KNOWS", properties={"since": n})
                ],
                source=document,
            )
            for n, document in enumerate(documents())
        ],
        include_source=True,
        baseEntityLabel=True,
    )
    Neo4jVector.from_documents(
        documents(),
        StubEmbeddings(),
        ids=[f"chunk-{n}" for n in range(5)],
        search_type="hybrid",
        index_name="vectors",
        keyword_index_name="keywords",
        **server(),
    )
    history = Neo4jChatMessageHistory(session_id="session 1", **server())
    history.add_messages([HumanMessage("a question"), AIMessage("an answer")])


def read():
    graph = Neo4jGraph(**server())
    graph.query("CALL db.awaitIndexes(60)")
    result = {
        # Opening the message history sets `updatedAt` of its session.
        "schema": {
            label: sorted(properties, key=str)
            for label, properties in graph.get_structured_schema["node_props"].items()
            if label != "Session"
        },
        "triples": graph.query(
            "MATCH (a:__Entity__)-[r:KNOWS]->(b:__Entity__) RETURN a.id AS a, properties(r) AS r, b.id AS b ORDER BY a"
        ),
        "sources": graph.query(
            "MATCH (d:Document)-[:MENTIONS]->(e) RETURN d.id AS d, d.text AS text, d.page AS page, e.id AS e ORDER BY d, e"
        ),
    }
    common = {"embedding": StubEmbeddings(), **server()}
    for name, options in {
        "vector": {"index_name": "vectors"},
        "hybrid": {"index_name": "vectors", "keyword_index_name": "keywords", "search_type": "hybrid"},
    }.items():
        store = Neo4jVector.from_existing_index(**common, **options)
        found = store.similarity_search_with_score("text 3", k=5)
        result[name] = sorted((document.page_content, document.metadata, round(score, 5)) for document, score in found)
    history = Neo4jChatMessageHistory(session_id="session 1", **server())
    result["messages"] = [(message.type, message.content) for message in history.messages]
    return result


print(json.dumps(write() if sys.argv[1] == "write" else read(), ensure_ascii=False, sort_keys=True, default=str))
