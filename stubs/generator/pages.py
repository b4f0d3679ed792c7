"""What reading a list in pages needs of its SQL block: the rows with their order beside them.

A block whose rows come in the order "a DESC, b" becomes the same select without its ORDER BY and LIMIT, with the
columns "page 1" and "page 2" behind its own and "da" for the directions. The pool goes on from a row by them
(pool/page.h), and counts the limit itself.
"""

import re
from dataclasses import dataclass

PARTS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[(),;]|\bFROM\b|\bORDER\s+BY\b|\bLIMIT\b""", re.IGNORECASE)
ORDER_TERM = re.compile(r"(?P<expression>.+?)(?P<descending>\s+DESC)?", re.DOTALL)
LIMIT_TEXT = "LIMIT :limit"


@dataclass
class Page:
    sql: str
    directions: str  # a letter an order column: a(scending), d(escending)


def is_list(call):
    """Whether a call reads many rows of its sources, and so comes in pages."""
    return (call.options is not None and call.option("access") == "READ" and call.option("scope") != "SERVER" and
            bool(call.response.fields) and call.response.fields[0].repeated)


def page_of(call, text):
    """The Page of a list's block, or a text that says why there is none."""
    marks = list(_top_level(text))
    end = next((start for what, start in marks if what == ";"), len(text))
    select = next((start for what, start in marks if what == "FROM"), None)
    order = next((start for what, start in reversed(marks) if what.startswith("ORDER")), None)
    limit = next((start for what, start in marks if what == "LIMIT"), end)
    if select is None or order is None or order > limit or text[end:].strip(" \n;"):
        return "a list is one SELECT with an ORDER BY: its pages go on by that"
    if limit < end and text[limit:end].strip() != LIMIT_TEXT:
        return f'a list is cut by "{LIMIT_TEXT}" and by nothing else: pages count by it'
    commas = [start for what, start in marks if what == "," and order < start < limit]
    begin = re.match(r"\S+\s+\S+\s+", text[order:]).end() + order
    terms = [ORDER_TERM.fullmatch(text[start:stop].strip())
             for start, stop in zip([begin] + [each + 1 for each in commas], commas + [limit])]
    if not _fits_merge(call, terms):
        return "its ORDER BY must begin with the call's merge_order: merged pages go on by both"
    columns = "".join(f', {term["expression"]} AS "page {i}"' for i, term in enumerate(terms, 1))
    return Page(f"{text[:select].rstrip()}{columns}\n{text[select:order].rstrip()}",
                "".join("d" if term["descending"] else "a" for term in terms))


def _top_level(text):
    """(what, start) of the marks outside of all parentheses."""
    depth = 0
    for match in PARTS.finditer(text):
        what = match.group().upper()
        depth -= what == ")"
        if depth == 0 and what[0] not in "'\"()":
            yield what, match.start()
        depth += what == "("


def _fits_merge(call, terms):
    declared = [each.removesuffix(" desc") + (" DESC" if each.endswith(" desc") else "")
                for each in call.options.merge_order]
    return declared == [term["expression"] + (" DESC" if term["descending"] else "")
                        for term in terms[:len(declared)]]
