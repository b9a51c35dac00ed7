"""robots.txt as RFC 9309 has it."""

from __future__ import annotations

import time

import pytest

from minirag.adapters.web.robots import LONGEST_DELAY, parse_robots

EXAMPLE = """
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html
"""


@pytest.mark.parametrize(
    ("agent", "path", "is_allowed"),
    [
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("foobot", "/example/", False),
        ("FooBot", "/", False),
        ("bazbot", "/example/page.html", False),
        ("bazbot", "/example/", True),
        ("other", "/example/page.html", False),
        ("other", "/a.gif", False),
        ("other", "/a.gif?size=1", True),
        ("other", "/publications/", True),
    ],
)
def test_the_example_of_the_rfc_is_read_as_it_says(agent: str, path: str, is_allowed: bool) -> None:
    assert parse_robots(EXAMPLE, agent).allows(path) is is_allowed


@pytest.mark.parametrize(
    ("rule", "path", "is_allowed"),
    [
        ("Disallow: /*?sort=", "/list?sort=up", False),
        ("Disallow: /*?sort=", "/list", True),
        ("Disallow: /fish*", "/fish.html", False),
        ("Disallow: /*.php$", "/folder/file.php", False),
        ("Disallow: /*.php$", "/file.php?x", True),
        ("Disallow: /a*b*c", "/a1b2c3", False),
        ("Disallow: /a*b*c", "/a1c2b3", True),
        ("Disallow: /x$", "/x", False),
        ("Disallow: /x$", "/xy", True),
        ("Disallow: /ab*ab$", "/ab", True),
        ("Disallow:", "/anything", True),
        ("Disallow: /caf%C3%A9", "/café", False),
        ("Disallow: /~joe", "/%7Ejoe/a", False),
        ("Disallow: /page\nAllow: /page", "/page", True),
        ("Allow: /p\nDisallow: /", "/page", True),
        ("Allow: /page\nDisallow: /*.htm", "/page.htm", False),
    ],
)
def test_the_longest_rule_that_matches_decides(rule: str, path: str, is_allowed: bool) -> None:
    assert parse_robots(f"User-agent: *\n{rule}", "minirag").allows(path) is is_allowed


def test_groups_of_the_same_robot_are_one_and_comments_are_none() -> None:
    text = "user-agent: MiniRAG # us\ndisallow: /a\n\nUser-agent: minirag/1.0\nDisallow: /b\n"
    robots = parse_robots(text, "MiniRAG")

    assert (robots.allows("/a"), robots.allows("/b"), robots.allows("/c")) == (False, False, True)


def test_crawl_delay_is_bounded_and_nonsense_is_none() -> None:
    def delay(value: str) -> float:
        return parse_robots(f"User-agent: *\nCrawl-delay: {value}\n", "minirag").delay

    assert [delay("2.5"), delay("86400"), delay("soon"), delay("-1"), delay("nan")] == [
        2.5,
        LONGEST_DELAY,
        0.0,
        0.0,
        0.0,
    ]


def test_hostile_rules_cost_no_more_than_their_length() -> None:
    """By regular expressions this one takes longer than the universe lasts."""
    robots = parse_robots(f"User-agent: *\nDisallow: /{'*a' * 500}*b$\n", "minirag")

    began = time.process_time()
    assert robots.allows("/" + "a" * 1900)
    assert time.process_time() - began < 1.0
