"""Writes a small knowledge base of two datasets through cognee's own classes, or reads it back, without any model.

    cognee_client.py write|read <folder>

The databases of cognee's defaults are below <folder>: SQLite, made by cognee's migrations, and one Ladybug graph and one
LanceDB for each dataset; documents are added as files. Reading prints one JSON object with everything that the classes give.
"""

import asyncio
import json
import os
import sys
from uuid import UUID

action, folder = sys.argv[1:3]
# With credentials of AWS, cognee looks for files in S3 as well.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ.update(
    {
        "SYSTEM_ROOT_DIRECTORY": os.path.join(folder, ".cognee_system"),
        "DATA_ROOT_DIRECTORY": os.path.join(folder, ".data_storage"),
        "CACHE_ROOT_DIRECTORY": os.path.join(folder, ".cognee_cache"),
        "COGNEE_LOGS_DIR": os.path.join(folder, "logs"),
        # In this process, so that everything is closed when it ends.
        "VECTOR_DB_SUBPROCESS_ENABLED": "false",
        "GRAPH_DATABASE_SUBPROCESS_ENABLED": "false",
        "COGNEE_SKIP_CONNECTION_TEST": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "TELEMETRY_DISABLED": "1",
        "LOG_LEVEL": "ERROR",
        "LLM_API_KEY": "none",
    }
)

import cognee  # noqa: E402
from cognee.context_global_variables import set_database_global_context_variables  # noqa: E402
from cognee.infrastructure.databases.graph import get_graph_engine  # noqa: E402
from cognee.infrastructure.databases.relational import get_relational_engine  # noqa: E402
from cognee.infrastructure.databases.vector import get_vector_engine_async  # noqa: E402
from cognee.infrastructure.databases.vector.embeddings.EmbeddingEngine import EmbeddingResult  # noqa: E402
from cognee.infrastructure.engine import DataPoint  # noqa: E402
from cognee.infrastructure.files.utils.open_data_file import open_data_file  # noqa: E402
from cognee.modules.data.methods import get_dataset_data, get_datasets  # noqa: E402
from cognee.modules.migrations.startup import run_migrations  # noqa: E402
from cognee.modules.users.methods import get_default_user  # noqa: E402

COUNT = 20
DIMENSION = 8
DATASETS = ("main", "other")


class Concept(DataPoint):
    name: str
    description: str
    metadata: dict = {"index_fields": ["name"]}


class Embedding:
    """Vectors that depend on the text alone."""

    async def embed_text(self, text):
        vectors = [[(sum(one.encode()) * (d + 3) % 101) / 101 + 0.01 for d in range(DIMENSION)] for one in text]
        return EmbeddingResult(vectors, tokens=0)

    def get_vector_size(self):
        return DIMENSION

    def get_batch_size(self):
        return 100


sys.modules["cognee.infrastructure.databases.vector.create_vector_engine"].get_embedding_engine = Embedding


def ids():
    return [str(UUID(int=n + 1)) for n in range(COUNT)]


def concepts(dataset):
    return [
        Concept(id=UUID(id), name=f"{dataset} Ä {n}", description=f'Überblick {n}, 知識, 😀, "quotes" \\')
        for n, id in enumerate(ids())
    ]


async def write(user):
    for dataset in DATASETS:
        await cognee.add(f"Document of {dataset}: Überblick, 知識, 😀", dataset_name=dataset, user=user)
    for dataset in await get_datasets(user.id):
        async with set_database_global_context_variables(dataset.id, user.id):
            vectors, graph = await get_vector_engine_async(), await get_graph_engine()
            await graph.add_nodes(concepts(dataset.name))
            await graph.add_edges([(ids()[n], ids()[n + 1], "next", {"weight": n + 0.5}) for n in range(COUNT - 1)])
            # Without it, the first create_data_points waits for its own lock.
            await vectors.create_collection("Concept_name", Concept)
            # Several versions of the dataset.
            for start in range(0, COUNT, 5):
                await vectors.create_data_points("Concept_name", concepts(dataset.name)[start : start + 5])
    # Without closing the databases: cognee's own checkpoints have to be enough.
    print()
    sys.stdout.flush()
    os._exit(0)


async def read(user):
    found = {"user": [str(user.id), user.email]}
    for dataset in await get_datasets(user.id):
        documents = []
        for data in await get_dataset_data(dataset.id):
            async with open_data_file(data.raw_data_location, mode="r", encoding="utf-8") as file:
                documents.append([data.name, data.content_hash, file.read()])
        async with set_database_global_context_variables(dataset.id, user.id):
            vectors, graph = await get_vector_engine_async(), await get_graph_engine()
            nearest = await vectors.search("Concept_name", query_text=f"{dataset.name} Ä 7", limit=5)
            points = await vectors.retrieve("Concept_name", ids())
            nodes, edges = await graph.get_graph_data()
            found[dataset.name] = {
                "id": str(dataset.id),
                "documents": documents,
                "nearest": [(str(one.id), round(float(one.score), 5)) for one in nearest],
                "points": sorted([str(one.id), one.payload] for one in points),
                "nodes": sorted(nodes, key=str),
                "edges": sorted(edges, key=str),
            }
            await graph.close()
            await vectors.close()
    return found


async def main():
    await run_migrations()
    user = await get_default_user()
    if action == "write":
        await write(user)
    result = await read(user)
    await get_relational_engine().engine.dispose()
    print(json.dumps(result, ensure_ascii=False, sort_keys=True, default=str))


asyncio.run(main())
