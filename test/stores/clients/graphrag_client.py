"""Writes and reads an index of Microsoft GraphRAG with its own classes: tables in parquet, vectors in LanceDB, cache.

graphrag_client.py write FOLDER | update FOLDER STOP | read FOLDER | vectors FOLDER INDEX
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import pandas as pd
from graphrag.config.embeddings import default_embeddings
from graphrag.data_model import schemas
from graphrag.query.indexer_adapters import (
    read_indexer_communities,
    read_indexer_entities,
    read_indexer_relationships,
    read_indexer_report_embeddings,
    read_indexer_reports,
    read_indexer_text_units,
)
from graphrag_storage.file_storage import FileStorage
from graphrag_storage.tables.parquet_table_provider import ParquetTableProvider
from graphrag_vectors.lancedb import LanceDBVectorStore
from graphrag_vectors.vector_store import VectorStoreDocument

SIZE = 8
COUNT = 30


def embedding(text):
    """A vector that depends on every character, instead of a model's."""
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 255 for byte in digest[:SIZE]]


def table(columns, rows):
    return pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=columns)


def tables_of_index():
    numbers = range(COUNT)
    units = [f"unit-{n}" for n in numbers]
    entities = [
        {
            "id": f"entity-{n}", "human_readable_id": n, "title": f"ENTITY ü {n}", "type": "PERSON",
            "description": f"description {n}", "text_unit_ids": [units[n], units[0]], "frequency": 2, "degree": n,
        }
        for n in numbers
    ]
    relationships = [
        {
            "id": f"relationship-{n}", "human_readable_id": n, "source": entities[n]["title"],
            "target": entities[0]["title"], "description": f"relates {n}", "weight": n + 0.5,
            "combined_degree": n, "text_unit_ids": [units[n]],
        }
        for n in numbers
    ]
    communities = [
        {
            "id": f"community-{n}", "human_readable_id": n, "community": n, "level": n % 2, "parent": -1,
            "children": [], "title": f"Community {n}", "entity_ids": [f"entity-{n}"],
            "relationship_ids": [f"relationship-{n}"], "text_unit_ids": [units[n]], "period": "2026-11-30", "size": 1,
        }
        for n in range(4)
    ]
    reports = [
        {
            **community, "id": f"report-{n}", "summary": f"summary {n}", "full_content": f"content {n}",
            "rank": 5.0, "rating_explanation": "because", "findings": [], "full_content_json": "{}",
        }
        for n, community in enumerate(communities)
    ]
    documents = [
        {
            "id": f"document-{n}", "human_readable_id": n, "title": f"{n}.txt", "text": f"text {n}",
            "text_unit_ids": [units[n]], "creation_date": "2026-11-30", "raw_data": None,
        }
        for n in numbers
    ]
    text_units = [
        {
            "id": unit, "human_readable_id": n, "text": f"text ö {n}", "n_tokens": 3, "document_id": f"document-{n}",
            "entity_ids": [f"entity-{n}"], "relationship_ids": [f"relationship-{n}"], "covariate_ids": [],
        }
        for n, unit in enumerate(units)
    ]
    return {
        "documents": table(schemas.DOCUMENTS_FINAL_COLUMNS, documents),
        "text_units": table(schemas.TEXT_UNITS_FINAL_COLUMNS, text_units),
        "entities": table(schemas.ENTITIES_FINAL_COLUMNS, entities),
        "relationships": table(schemas.RELATIONSHIPS_FINAL_COLUMNS, relationships),
        "communities": table(schemas.COMMUNITIES_FINAL_COLUMNS, communities),
        "community_reports": table(schemas.COMMUNITY_REPORTS_FINAL_COLUMNS, reports),
    }


def storage_of(folder, name):
    return FileStorage(base_dir=str(Path(folder) / name))


def store_of(folder, index):
    uri = str(Path(folder) / "output" / "lancedb")
    store = LanceDBVectorStore(db_uri=uri, index_name=index, vector_size=SIZE)
    store.connect()
    return store


async def write(folder):
    output = storage_of(folder, "output")
    provider = ParquetTableProvider(output)
    tables = tables_of_index()
    for name, frame in tables.items():
        await provider.write_dataframe(name, frame)
    await output.set("stats.json", json.dumps({"total_runtime": 1.5}))
    await output.set("context.json", "{}")
    await storage_of(folder, "cache").child("extract_graph").set("chat_1", json.dumps({"result": "cached"}))
    texts = {
        "entity_description": tables["entities"].set_index("id")["description"],
        "community_full_content": tables["community_reports"].set_index("id")["full_content"],
        "text_unit_text": tables["text_units"].set_index("id")["text"],
    }
    assert sorted(texts) == sorted(default_embeddings)
    for index, column in texts.items():
        store = store_of(folder, index)
        store.create_index()
        documents = [VectorStoreDocument(id=key, vector=embedding(text)) for key, text in column.items()]
        for at in range(0, len(documents), 10):
            store.load_documents(documents[at : at + 10])


def update(folder, stop):
    """Adds and removes vectors, each as a version of the dataset, until the file `stop` exists."""
    store = store_of(folder, "entity_description")
    added = 0
    while not Path(stop).exists() and added < 40:
        store.load_documents([VectorStoreDocument(id=f"new-{added}", vector=embedding(str(added)))])
        added += 1
        if added % 5 == 0:
            store.document_collection.delete(f"id = 'new-{added - 3}'")
        time.sleep(0.1)
    print(added)


async def read(folder):
    provider = ParquetTableProvider(storage_of(folder, "output"))
    frames = {name: await provider.read_dataframe(name) for name in tables_of_index()}
    reports = read_indexer_reports(frames["community_reports"].copy(), frames["communities"].copy(), 2)
    read_indexer_report_embeddings(reports, store_of(folder, "community_full_content"))
    found = {
        "entities": read_indexer_entities(frames["entities"], frames["communities"], None),
        "relationships": read_indexer_relationships(frames["relationships"]),
        "text units": read_indexer_text_units(frames["text_units"]),
        "communities": read_indexer_communities(frames["communities"], frames["community_reports"]),
        "reports": reports,
        "documents": frames["documents"].to_dict("records"),
        "cached": await storage_of(folder, "cache").child("extract_graph").get("chat_1"),
    }
    for index in default_embeddings:
        store = store_of(folder, index)
        nearest = store.similarity_search_by_vector(embedding("description 7"), k=5)
        found[f"{index} nearest"] = [[result.document.id, round(result.score, 9)] for result in nearest]
        found[f"{index} count"] = store.count()
        found[f"{index} versions"] = len(store.document_collection.list_versions())
    print(json.dumps(found, default=plain, sort_keys=True))


def plain(value):
    """What json does not know: numpy's arrays and numbers, and the classes of the data model."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, set):
        return sorted(value)
    return vars(value)


def vectors(folder, index):
    """Reads every vector of every version that can be opened, and returns their numbers."""
    table = store_of(folder, index).document_collection
    counts = []
    for version in table.list_versions():
        table.checkout(version["version"])
        counts.append(len(table.to_arrow()))
    print(json.dumps(counts))


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    if command == "write":
        asyncio.run(write(folder))
    elif command == "update":
        update(folder, *rest)
    elif command == "vectors":
        vectors(folder, *rest)
    else:
        asyncio.run(read(folder))
    # LanceDB's threads can crash the interpreter while it ends.
    sys.stdout.flush()
    os._exit(0)
