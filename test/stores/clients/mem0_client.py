"""Writes memories of two users through mem0's own class, or reads them back, without any model.

    mem0_client.py write|read <working directory>

Reading prints one JSON object: what the class lists and finds for each user, the history of each memory, and the entities with
the memories that they link. The environment has QDRANT_URL and QDRANT_API_KEY; the working directory gets `history.db`.
"""

import json
import os
import sys

action, folder = sys.argv[1:3]
# mem0 reads both when it is imported.
os.environ["MEM0_DIR"] = os.path.join(folder, "home")
os.environ["MEM0_TELEMETRY"] = "False"

from mem0 import Memory  # noqa: E402

DIMENSION = 8
USERS = ["alice", "bob"]


class Embedder:
    """Vectors that depend on the text alone."""

    def embed(self, text, memory_action=None):
        value = 14695981039346656037
        for byte in text.encode():
            value = ((value ^ byte) * 1099511628211) % 2**64
        return [((value >> bit) & 255) / 255.0 for bit in range(DIMENSION)]

    def embed_batch(self, texts, memory_action=None):
        return [self.embed(text) for text in texts]


# The models are never asked: memories are added as they are, and the embedder is replaced.
unused = {"provider": "openai", "config": {"api_key": "unused"}}
memory = Memory.from_config(
    {
        "vector_store": {
            "provider": "qdrant",
            "config": {
                "url": os.environ["QDRANT_URL"],
                "api_key": os.environ.get("QDRANT_API_KEY") or None,
                "collection_name": "mem0",
                "embedding_model_dims": DIMENSION,
            },
        },
        "history_db_path": os.path.join(folder, "history.db"),
        "llm": unused,
        "embedder": unused,
    }
)
memory.embedding_model = Embedder()


def text_of(user, number):
    return f'{user} remembers {number}: Überblick, 知識, 😀, "quotes" \\ and\nlines'


if action == "write":
    for user in USERS:
        ids = []
        for number in range(10):
            added = memory.add(text_of(user, number), user_id=user, metadata={"number": number, "list": [1, 2.5, None]}, infer=False)
            ids.append(added["results"][0]["id"])
        memory.update(ids[0], f"{user} changed this")
        memory.delete(ids[1])
        vectors = [memory.embedding_model.embed(name) for name in ("Überblick", "知識")]
        payloads = [
            {"data": name, "entity_type": "TOPIC", "linked_memory_ids": sorted(ids[2:]), "user_id": user}
            for name in ("Überblick", "知識")
        ]
        memory.entity_store.insert(vectors=vectors, ids=[ids[0], ids[2]], payloads=payloads)

result = {}
for user in USERS:
    listed = sorted(memory.get_all(filters={"user_id": user}, top_k=100)["results"], key=lambda each: each["id"])
    found = memory.vector_store.search(query="", vectors=Embedder().embed(text_of(user, 5)), top_k=3, filters={"user_id": user})
    entities = memory.entity_store.list(filters={"user_id": user}, top_k=100)
    rows = entities[0] if entities and isinstance(entities[0], (list, tuple)) else entities
    result[user] = {
        "memories": listed,
        "found": [[each.id, each.score, each.payload] for each in found],
        "history": {each["id"]: memory.history(each["id"]) for each in listed},
        "entities": sorted([row.id, row.payload] for row in rows),
    }
print(json.dumps(result, sort_keys=True, default=str))
