"""Writes a project of Microsoft GraphRAG with its own classes: tables in parquet, vectors in LanceDB, cached answers.

    write_ms_graphrag.py RECORDS FOLDER

RECORDS has the lines of JSON that records.ts describes.
"""

import asyncio
import base64
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from graphrag.data_model import schemas
from graphrag_storage.file_storage import FileStorage
from graphrag_storage.tables.parquet_table_provider import ParquetTableProvider
from graphrag_vectors.lancedb import LanceDBVectorStore
from graphrag_vectors.vector_store import VectorStoreDocument

BATCH = 1000
DIMENSIONS = 384
DAY = "2026-01-01"
SETTINGS = """input: {type: jsonl, base_dir: input}
output: {type: file, base_dir: output}
cache: {type: json, storage: {type: file, base_dir: cache}}
vector_store: {type: lancedb, db_uri: output/lancedb}
"""


def read(path):
    kinds = defaultdict(list)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            kinds[record["kind"]].append(record)
    return kinds


def table(columns, rows):
    return pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=columns)


def tables_of(kinds):
    chunks, entities, relationships = kinds["chunk"], kinds["entity"], kinds["relationship"]
    entity_ids = {r["name"]: f"entity-{n}" for n, r in enumerate(entities)}
    pair_ids = {(r["from"], r["to"]): f"relationship-{n}" for n, r in enumerate(relationships)}
    degree, units, children = defaultdict(int), defaultdict(list), defaultdict(list)
    in_chunk, pairs_in_chunk = defaultdict(list), defaultdict(list)
    for r in relationships:
        degree[r["from"]] += 1
        degree[r["to"]] += 1
        for chunk in r["sources"]:
            pairs_in_chunk[chunk].append(pair_ids[r["from"], r["to"]])
    for r in entities:
        for chunk in r["sources"]:
            in_chunk[chunk].append(entity_ids[r["name"]])
    for r in chunks:
        units[r["document"]].append(r["id"])
    for r in kinds["community"]:
        children[r["parent"]].append(r["number"])
    communities = [
        {
            "id": f"community-{r['number']}", "human_readable_id": r["number"], "community": r["number"],
            "level": r["level"], "parent": r["parent"], "children": children[r["number"]], "title": r["title"],
            "entity_ids": [entity_ids[name] for name in r["entities"]],
            "relationship_ids": [pair_ids[tuple(pair)] for pair in r["relationships"]],
            "text_unit_ids": r["sources"], "period": DAY, "size": len(r["entities"]),
        }
        for r in kinds["community"]
    ]
    return {
        "documents": table(schemas.DOCUMENTS_FINAL_COLUMNS, [
            {
                "id": r["id"], "human_readable_id": n, "title": r["content"].split("\n", 1)[0], "text": r["content"],
                "text_unit_ids": units[r["id"]], "creation_date": DAY, "raw_data": None,
            }
            for n, r in enumerate(kinds["document"])
        ]),
        "text_units": table(schemas.TEXT_UNITS_FINAL_COLUMNS, [
            {
                "id": r["id"], "human_readable_id": n, "text": r["content"], "n_tokens": r["tokens"],
                "document_id": r["document"], "entity_ids": in_chunk[r["id"]],
                "relationship_ids": pairs_in_chunk[r["id"]], "covariate_ids": [],
            }
            for n, r in enumerate(chunks)
        ]),
        "entities": table(schemas.ENTITIES_FINAL_COLUMNS, [
            {
                "id": entity_ids[r["name"]], "human_readable_id": n, "title": r["name"], "type": r["type"],
                "description": r["description"], "text_unit_ids": r["sources"], "frequency": len(r["sources"]),
                "degree": degree[r["name"]],
            }
            for n, r in enumerate(entities)
        ]),
        "relationships": table(schemas.RELATIONSHIPS_FINAL_COLUMNS, [
            {
                "id": pair_ids[r["from"], r["to"]], "human_readable_id": n, "source": r["from"], "target": r["to"],
                "description": r["description"], "weight": float(r["weight"]),
                "combined_degree": degree[r["from"]] + degree[r["to"]], "text_unit_ids": r["sources"],
            }
            for n, r in enumerate(relationships)
        ]),
        "communities": table(schemas.COMMUNITIES_FINAL_COLUMNS, communities),
        "community_reports": table(schemas.COMMUNITY_REPORTS_FINAL_COLUMNS, [
            {
                **community, "id": f"report-{r['number']}", "summary": r["summary"], "full_content": r["summary"],
                "rank": 5.0, "rating_explanation": "By the number of entities.", "findings": [], "full_content_json": "{}",
            }
            for community, r in zip(communities, kinds["community"])
        ]),
    }


def write_vectors(folder, index, ids, records):
    store = LanceDBVectorStore(db_uri=str(folder / "output" / "lancedb"), index_name=index, vector_size=DIMENSIONS)
    store.connect()
    store.create_index()
    documents = [
        VectorStoreDocument(id=id, vector=np.frombuffer(base64.b64decode(r["vector"]), dtype=np.float32).tolist())
        for id, r in zip(ids, records)
    ]
    for start in range(0, len(documents), BATCH):
        store.load_documents(documents[start : start + BATCH])


async def write(kinds, folder):
    output = FileStorage(base_dir=str(folder / "output"))
    tables = tables_of(kinds)
    provider = ParquetTableProvider(output)
    for name, frame in tables.items():
        await provider.write_dataframe(name, frame)
    await output.set("stats.json", json.dumps({"num_documents": len(kinds["document"])}))
    await output.set("context.json", "{}")
    cache = FileStorage(base_dir=str(folder / "cache")).child("community_reporting")
    for r in kinds["community"]:
        await cache.set(f"create_community_report_{r['number']}", json.dumps({"result": r["summary"]}))
    await FileStorage(base_dir=str(folder / "prompts")).set("extract_graph.txt", "Extract the entities.\n")
    documents = [json.dumps({"id": r["id"], "text": r["content"]}) for r in kinds["document"]]
    await FileStorage(base_dir=str(folder / "input")).set("readmes.jsonl", "\n".join(documents))
    (folder / "settings.yaml").write_text(SETTINGS)
    write_vectors(folder, "entity_description", tables["entities"]["id"], kinds["entity"])
    write_vectors(folder, "community_full_content", tables["community_reports"]["id"], kinds["community"])
    write_vectors(folder, "text_unit_text", tables["text_units"]["id"], kinds["chunk"])


if __name__ == "__main__":
    asyncio.run(write(read(sys.argv[1]), Path(sys.argv[2])))
    # LanceDB's threads can crash the interpreter while it ends.
    sys.stdout.flush()
    os._exit(0)
