"""Events that are hard on an engine: nulls, texts of many scripts, times before 1970 and at the ends of months, numbers at
the ends of their types, JSON of every shape. The same seed makes the same events.
"""

import json
import uuid
from datetime import datetime, timedelta

TYPES = ["page_view", "order_placed", "search", "größe", "検索", "video%played", "under_score"]
CATEGORIES = ["page", "shop", "ÄÖÜ", "media", None]
USERS = [f"user-{number}" for number in range(40)] + ["Zoë", "zoe", "ZOE", "o'neil", "a\tb", "🚲 rider", "שלום", ""]
COUNTRIES = ["CH", "DE", "US", "JP", None]
PLATFORMS = ["web", "ios", "android", None]
WORDS = ["alpha", "Beta", "gamma ray", "Übermut", "straße", "テスト", "e\u0301clair", "100%", "back\\slash", "quo\"te", ""]

COLUMNS = {
    "event_id": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "source": "VARCHAR",
    "version": "VARCHAR",
    "environment": "VARCHAR",
    "event_type": "VARCHAR",
    "event_category": "VARCHAR",
    "user_id": "VARCHAR",
    "session_id": "VARCHAR",
    "properties": "VARCHAR",
    "platform": "VARCHAR",
    "country": "VARCHAR",
    "latitude": "DOUBLE",
    "longitude": "DOUBLE",
    "referrer": "VARCHAR",
}


def events(random, count):
    """As they are sent."""
    return [event(random) for _ in range(count)]


def event(random):
    body = {
        "eventId": str(uuid.UUID(int=random.getrandbits(128), version=4)),
        "timestamp": time_of(random).isoformat(timespec="microseconds") + "Z",
        "eventType": random.choice(TYPES),
        "source": random.choice(["shop", "search", "größe"]),
        "version": random.choice(["1.0.0", "1.10.0", "2.0.0-rc.1"]),
        "environment": random.choice(["test", "production"]),
        "properties": properties(random),
        "context": {"location": {}},
    }
    optional(body, "eventCategory", random.choice(CATEGORIES))
    optional(body, "userId", random.choice([None, *USERS]))
    optional(body, "sessionId", random.choice([None, f"s-{random.randrange(60)}"]))
    context = body["context"]
    optional(context, "platform", random.choice(PLATFORMS))
    optional(context, "referrer", random.choice([None, "https://example.com/?q=a&b=c", "https://größe.example/"]))
    optional(context["location"], "country", random.choice(COUNTRIES))
    if random.random() < 0.6:
        context["location"] |= {"latitude": random.uniform(-90, 90), "longitude": random.choice([0.0, -179.5, 13.25])}
    return body


def optional(body, key, value):
    if value is not None:
        body[key] = value


def time_of(random):
    """Most in three days, some at turns of the calendar, some before 1970."""
    if random.random() < 0.9:
        return datetime(2026, 3, 27) + timedelta(microseconds=random.randrange(3 * 86_400_000_000))
    return random.choice(
        [
            datetime(2024, 2, 29, 23, 59, 59, 999_999),
            datetime(2000, 1, 1),
            datetime(2026, 3, 29, 1, 30),
            datetime(2025, 12, 31, 23, 0, 0, 1),
            datetime(1970, 1, 1),
            datetime(1969, 12, 31, 23, 59, 59, 999_999),
            datetime(1899, 3, 1, 12),
        ]
    )


def properties(random):
    made = {}
    if random.random() < 0.9:
        made["n"] = random.choice([0, 1, -1, 7, 42, 1000, random.randrange(-500, 500)])
    if random.random() < 0.8:
        made["price"] = random.choice([0.5, 9.99, 100.25, 12.0])
    if random.random() < 0.8:
        made["word"] = random.choice(WORDS)
    if random.random() < 0.5:
        made["member"] = random.choice([True, False, None])
    if random.random() < 0.3:
        made["nested"] = {"deep": {"er": random.choice(["x", 3, None])}, "list": [1, "two", [3]]}
    if random.random() < 0.1:
        made["größe 🚲"] = random.choice(["S", "M", "L"])
    if random.random() < 0.05:
        made["big"] = random.choice([9_007_199_254_740_993, -9_223_372_036_854_775_808, 9_223_372_036_854_775_807])
    return made


def row(body):
    """What the other engine gets: columns of what was sent, never of what ours answers."""
    context = body["context"]
    location = context["location"]
    return [
        body["eventId"],
        datetime.fromisoformat(body["timestamp"].rstrip("Z")),
        body["source"],
        body["version"],
        body["environment"],
        body["eventType"],
        body.get("eventCategory"),
        body.get("userId"),
        body.get("sessionId"),
        json.dumps(body["properties"], ensure_ascii=False, separators=(",", ":")),
        context.get("platform"),
        location.get("country"),
        location.get("latitude"),
        location.get("longitude"),
        context.get("referrer"),
    ]
