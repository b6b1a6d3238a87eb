"""The shop: a small database, generated once and written as an SQL script."""

import sqlite3
from random import Random

SEED = 7
"""Seed of the bundled shop; another seed would be another shop, which the model does not know."""
NUM_ORDERS = 180

CITIES = ("Oslo", "Rome", "Lima", "Cairo", "Delhi")
TIERS = ("basic", "silver", "gold")
YEARS = tuple(range(2018, 2026))
CATEGORIES = ("kitchen", "garden", "office", "toys", "music")
MONTHS = ("January", "February", "March", "April", "May", "June")
STATUSES = ("shipped", "pending", "returned")
CUSTOMERS = (
    "Ann Ben Carla Dan Eva Finn Gina Hugo Iris Jon Kira Leo Mia Nils Olga Paul Rosa Sam Tara Udo"
).split()
PRODUCTS = {
    "kitchen": ("kettle", "pan", "mug", "knife"),
    "garden": ("rake", "hose", "spade", "bench"),
    "office": ("desk", "lamp", "chair", "stapler"),
    "toys": ("robot", "puzzle", "kite", "drone"),
    "music": ("guitar", "drum", "flute", "radio"),
}

SCHEMA = (
    "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, customer TEXT, city TEXT, "
    "tier TEXT, joined INTEGER);",
    "CREATE TABLE products (product_id INTEGER PRIMARY KEY, product TEXT, category TEXT, "
    "price INTEGER, stock INTEGER);",
    "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, "
    "customer_id INTEGER REFERENCES customers, product_id INTEGER REFERENCES products, "
    "quantity INTEGER, month TEXT, status TEXT);",
)


def customer_rows(rng: Random) -> list[str]:
    """Write the insert statements of the customers."""
    return [
        f"INSERT INTO customers VALUES ({number}, '{name}', '{rng.choice(CITIES)}', "
        f"'{rng.choice(TIERS)}', {rng.choice(YEARS)});"
        for number, name in enumerate(CUSTOMERS, 1)
    ]


def product_rows(rng: Random) -> list[str]:
    """Write the insert statements of the products; prices are distinct, so superlatives are."""
    named = [(product, category) for category, names in PRODUCTS.items() for product in names]
    prices = rng.sample(range(3, 100), len(named))
    stocks = rng.sample(range(1, 60), len(named))
    return [
        f"INSERT INTO products VALUES ({number}, '{product}', '{category}', {price}, {stock});"
        for number, ((product, category), price, stock) in enumerate(
            zip(named, prices, stocks, strict=True), 1
        )
    ]


def order_rows(rng: Random) -> list[str]:
    """Write the insert statements of the orders."""
    return [
        f"INSERT INTO orders VALUES ({number}, {rng.randint(1, len(CUSTOMERS))}, "
        f"{rng.randint(1, 20)}, {rng.randint(1, 9)}, '{rng.choice(MONTHS)}', "
        f"'{rng.choices(STATUSES, (6, 3, 1))[0]}');"
        for number in range(1, NUM_ORDERS + 1)
    ]


def shop_script() -> str:
    """Write the whole shop as an SQL script; always the same text."""
    rng = Random(SEED)
    lines = [*SCHEMA, *customer_rows(rng), *product_rows(rng), *order_rows(rng)]
    return "\n".join(lines) + "\n"


def open_shop() -> sqlite3.Connection:
    """Open the shop in memory; the caller closes it."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(shop_script())
    return connection
