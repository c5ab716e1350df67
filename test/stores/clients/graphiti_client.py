"""Writes groups of a Graphiti knowledge graph through graphiti-core's own classes, or reads them back, without any model.

    graphiti_client.py write|read <group> …

Reading prints one JSON object with everything that the classes and searches give, by group. The environment names the
server: NEO4J_URI, NEO4J_USERNAME, NEO4J_PASSWORD.
"""

import asyncio
import json
import os
import sys
from datetime import datetime, timedelta, timezone

from graphiti_core.driver.neo4j_driver import Neo4jDriver
from graphiti_core.edges import CommunityEdge, EntityEdge, EpisodicEdge, HasEpisodeEdge, NextEpisodeEdge
from graphiti_core.embedder.client import EmbedderClient
from graphiti_core.nodes import CommunityNode, EntityNode, EpisodeType, EpisodicNode, SagaNode
from graphiti_core.search.search_filters import SearchFilters
from graphiti_core.search.search_utils import (
    edge_fulltext_search,
    edge_similarity_search,
    episode_fulltext_search,
    get_mentioned_nodes,
    node_fulltext_search,
    node_similarity_search,
)

DIMENSION = 8
START = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=timezone.utc)


class StubEmbedder(EmbedderClient):
    """Vectors that depend on the text alone."""

    async def create(self, input_data):
        value = 14695981039346656037
        for byte in str(input_data).encode():
            value = ((value ^ byte) * 1099511628211) % 2**64
        return [((value >> bit) & 255) / 255.0 for bit in range(DIMENSION)]


async def write(driver, group):
    embedder = StubEmbedder()
    entities = [
        EntityNode(
            uuid=f"{group}-entity-{n}",
            name=f"Entity {n} of {group}",
            group_id=group,
            labels=["Person"] if n % 2 else [],
            summary=f"Überblick {n}, 知識, 😀",
            created_at=START + timedelta(seconds=n),
            attributes={"rank": n, "weight": n / 2, "tags": ["a", "b"]},
        )
        for n in range(6)
    ]
    for entity in entities:
        await entity.generate_name_embedding(embedder)
        await entity.save(driver)
    episodes = [
        EpisodicNode(
            uuid=f"{group}-episode-{n}",
            name=f"episode {n}",
            group_id=group,
            source=EpisodeType.message,
            source_description="a conversation",
            content=f"user: content {n} of {group}",
            created_at=START,
            valid_at=START + timedelta(days=n),
            entity_edges=[f"{group}-fact-{n}"],
        )
        for n in range(3)
    ]
    for episode in episodes:
        await episode.save(driver)
    for n in range(5):
        edge = EntityEdge(
            uuid=f"{group}-fact-{n}",
            group_id=group,
            source_node_uuid=entities[n].uuid,
            target_node_uuid=entities[n + 1].uuid,
            name="KNOWS",
            fact=f"Entity {n} knows entity {n + 1} of {group}",
            episodes=[episodes[n % 3].uuid],
            created_at=START,
            valid_at=START + timedelta(days=n),
            invalid_at=START + timedelta(days=99) if n == 4 else None,
        )
        await edge.generate_embedding(embedder)
        await edge.save(driver)
    about = {"group_id": group, "created_at": START}
    for n, episode in enumerate(episodes):
        for entity in (entities[n], entities[n + 1]):
            link = f"{group}-mention-{n}-{entity.uuid}"
            await EpisodicEdge(uuid=link, source_node_uuid=episode.uuid, target_node_uuid=entity.uuid, **about).save(driver)
    community = CommunityNode(uuid=f"{group}-community", name=f"Community of {group}", summary="all of them", **about)
    await community.generate_name_embedding(embedder)
    await community.save(driver)
    for entity in entities[:3]:
        link = f"{group}-member-{entity.uuid}"
        await CommunityEdge(uuid=link, source_node_uuid=community.uuid, target_node_uuid=entity.uuid, **about).save(driver)
    saga = SagaNode(uuid=f"{group}-saga", name=f"saga of {group}", **about)
    await saga.save(driver)
    await HasEpisodeEdge(
        uuid=f"{group}-has", source_node_uuid=saga.uuid, target_node_uuid=episodes[0].uuid, **about
    ).save(driver)
    await NextEpisodeEdge(
        uuid=f"{group}-next", source_node_uuid=episodes[0].uuid, target_node_uuid=episodes[1].uuid, **about
    ).save(driver)


async def read(driver, group):
    filters, groups = SearchFilters(), [group]
    embedder = StubEmbedder()
    kinds = {
        "entities": EntityNode,
        "episodes": EpisodicNode,
        "communities": CommunityNode,
        "sagas": SagaNode,
        "facts": EntityEdge,
        "mentions": EpisodicEdge,
        "members": CommunityEdge,
        "has": HasEpisodeEdge,
        "next": NextEpisodeEdge,
    }
    result = {}
    for name, kind in kinds.items():
        try:
            found = await kind.get_by_group_ids(driver, groups)
        except Exception as error:  # The classes of edges raise an error if there are none.
            if not type(error).__name__.endswith("NotFoundError"):
                raise
            found = []
        for record in found:
            if kind in (EntityNode, CommunityNode):
                await record.load_name_embedding(driver)
            if kind is EntityEdge:
                await record.load_fact_embedding(driver)
        result[name] = sorted((record.model_dump() for record in found), key=lambda record: record["uuid"])
    # Without awaiting them, the searches would run on indexes that do not contain the last changes yet.
    await driver.execute_query("CALL db.awaitIndexes(60)")
    await driver.execute_query("CALL db.index.fulltext.awaitEventuallyConsistentIndexRefresh()")
    vector = await embedder.create([f"Entity 3 of {group}"])
    searches = {
        "facts by text": edge_fulltext_search(driver, "entity 3", filters, groups),
        "entities by text": node_fulltext_search(driver, "entity 3", filters, groups),
        "episodes by text": episode_fulltext_search(driver, "content", filters, groups),
        "facts by vector": edge_similarity_search(driver, vector, None, None, filters, groups, min_score=-1),
        "entities by vector": node_similarity_search(driver, vector, filters, groups, min_score=-1),
    }
    for name, search in searches.items():
        found = [record.uuid for record in await search]
        result[name] = found if "vector" in name else sorted(found)
    episodes = await EpisodicNode.get_by_group_ids(driver, groups)
    result["mentioned"] = sorted(node.uuid for node in await get_mentioned_nodes(driver, episodes)) if episodes else []
    return result


async def main():
    action, *groups = sys.argv[1:]
    driver = Neo4jDriver(os.environ["NEO4J_URI"], os.environ["NEO4J_USERNAME"], os.environ["NEO4J_PASSWORD"])
    await driver.build_indices_and_constraints()
    result = {group: await (write if action == "write" else read)(driver, group) for group in groups}
    await driver.close()
    print(json.dumps(result, ensure_ascii=False, sort_keys=True, default=str))


asyncio.run(main())
